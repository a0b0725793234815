"""What docs/kubernetes.md says to do can be done."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s.charts import CHART, objects
from k8s.manifests import BROUGHT, K8S, USERS
from k8s.tools import ROOT, program

_HELM_PAGE = (ROOT / "docs" / "helm.md").read_text("utf-8")
PAGE = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")


def test_what_is_brought_is_explained() -> None:
    """For each Secret and ConfigMap that the user makes, the page has the command, with its key."""
    for kind, name, key in set().union(*BROUGHT.values(), {USERS}):
        what = f"secret generic {name}" if kind == "Secret" else f"configmap {name}"
        assert f"kubectl -n fmq create {what} --from-file={key}=" in PAGE


def test_paths_exist() -> None:
    """Every file and folder of the repository that the page names is there."""
    paths = set(re.findall(r"(?:k8s|services|deploy)/[\w./-]+\w", PAGE + _HELM_PAGE))
    assert paths
    own = ("k8s/overlays/mine/", "k8s/overlays/second/")
    assert [path for path in paths if not path.startswith(own) and not (ROOT / path).exists()] == []


def test_the_example_builds(tmp_path: Path) -> None:
    """The overlay that the page shows can be built, with the handler, the ways and the settings that it asks for."""
    tree = tmp_path / "k8s"
    shutil.copytree(K8S, tree)
    for path, text in re.findall(r"```yaml\n# (k8s/overlays/mine/\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    (tree / "overlays" / "mine" / "mine.py").write_text("def handle(message): ...\n", encoding="utf-8")
    done = subprocess.run(
        [program("kubectl"), "kustomize", tree / "overlays" / "mine"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    objects = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    egress = objects["NetworkPolicy", "fmq-broker"]["spec"]["egress"]
    assert [(way["to"][0]["ipBlock"]["cidr"], way["ports"][0]["port"]) for way in egress] == [
        ("198.51.100.7/32", 8883),
        ("203.0.113.0/24", 443),
    ]
    spec = objects["StatefulSet", "fmq"]["spec"]["template"]["spec"]
    (processor,) = [one for one in spec["containers"] if one["name"] == "processor"]
    assert {"name": "handlers", "mountPath": "/handlers", "readOnly": True} in processor["volumeMounts"]
    (settings,) = [one for (kind, name), one in objects.items() if kind == "ConfigMap" and "settings" in name]
    assert settings["data"]["FMQ_HANDLER"] == "mine:handle"
    assert ("PodMonitor", "fmq") in objects


_VALUES = dict(re.findall(r"```yaml\n# values: (\S+)\n(.*?)```", _HELM_PAGE, re.DOTALL))


@pytest.mark.parametrize("name", _VALUES)
def test_values_of_the_page_are_taken(name: str) -> None:
    """Each block of values in docs/helm.md makes a release, on top of the example prod; and each block is one."""
    assert _HELM_PAGE.count("```yaml") == len(_VALUES)
    assert objects("prod", values=yaml.safe_load(_VALUES[name]))


def test_the_readme_of_the_chart_has_the_least_that_it_needs() -> None:
    """The values in it are enough."""
    (values,) = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text("utf-8"), re.DOTALL)
    assert objects(values=yaml.safe_load(values))


def test_commands_of_the_page_have_values_that_there_are() -> None:
    """Each `--set` in docs/helm.md names a value of the chart."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    named = re.findall(r"--set(?:-file)? ([\w.\\]+)=", _HELM_PAGE)
    assert named
    for path in named:
        found = values
        for part in path.replace("\\.", "·").split("."):
            if "·" not in part:  # the name of a file of the user
                found = found[part]
