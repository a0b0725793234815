"""What kustomize makes of k8s/, and questions that the tests ask of it."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from k8s.charts import CHARTS, chart
from k8s.tools import ROOT, Manifest, program

K8S = ROOT / "k8s"
SCALE_IN = K8S / "overlays" / "sharded" / "scale_in.py"
VERSIONS = ("1.29", "1.31", "1.33", "1.34", "1.35", "1.36", "1.37")
"""Of Kubernetes: the oldest that has every field used here by default, and what is in use."""

BUILDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "base": ("base", ()),
    "dev": ("overlays/dev", ()),
    "prod": ("overlays/prod", ()),
    "prod+namespace": ("overlays/prod", ("namespace",)),
    "sharded": ("overlays/sharded", ()),
    "dev+monitoring": ("overlays/dev", ("monitoring",)),
    "prod+monitoring": ("overlays/prod", ("monitoring",)),
    "sharded+monitoring": ("overlays/sharded", ("monitoring",)),
    "sharded+keda": ("overlays/sharded", ("keda",)),
    "sharded+monitoring+keda": ("overlays/sharded", ("monitoring", "keda")),
    "dev+web": ("overlays/dev", ("web",)),
    "prod+web": ("overlays/prod", ("web",)),
    "sharded+monitoring+keda+web": ("overlays/sharded", ("monitoring", "keda", "web")),
    "postgres": ("overlays/postgres", ()),
    "postgres+monitoring": ("overlays/postgres", ("monitoring", "shared-store")),
    "postgres+monitoring+keda-processors": ("overlays/postgres", ("monitoring", "shared-store", "keda-processors")),
    "postgres+monitoring+web": ("overlays/postgres", ("monitoring", "shared-store", "web-deployment")),
}
"""Every overlay, alone and with the components that go with it."""
ON_VOLUME = tuple(build for build in BUILDS if not build.startswith("postgres"))
"""Those whose pods have a store in a volume, each with a listener and a processor."""
ON_SERVER = tuple(build for build in BUILDS if build.startswith("postgres"))
"""Those with a store on PostgreSQL, with pods of their own for listeners and processors."""
DATABASE = "database"
"""The folder with the example of a database. It is not an overlay."""
BROKER = "broker"
"""The folder with the broker for a try. It is part of the overlay dev."""
SERVICES = ("listener", "processor", "web")

PASSWORD = ("Secret", "fmq-broker", "password")
CA = ("ConfigMap", "fmq-broker-ca", "ca.crt")
USERS = ("Secret", "fmq-web", "users")
PGPASS = ("Secret", "fmq-postgres", "pgpass")
BROUGHT = {
    "base": {PASSWORD},
    "overlays/prod": {PASSWORD, CA},
    "overlays/sharded": {PASSWORD, CA},
    "overlays/postgres": {PASSWORD, CA, PGPASS},
}
"""What the user makes beforehand, by overlay: docs/kubernetes.md says how."""


def brought(build: str) -> set[tuple[str, str, str]]:
    """What the user makes before applying a build."""
    overlay, components = BUILDS[build]
    return BROUGHT.get(overlay, set()) | ({USERS} if {"web", "web-deployment"} & set(components) else set())


def has_web(build: str) -> bool:
    """Whether the pods of a build have the web page."""
    return "web" in BUILDS[build][1]


def second(build: str) -> str:
    """The name of the build with which a build gets a second instance, as docs/kubernetes.md shows it."""
    return f"{build}{_SECOND}"


_SECOND = "+second"


def _second_overlay(overlay: str) -> str:
    """The kustomization of docs/kubernetes.md for a second instance, on top of another overlay."""
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n# k8s/overlays/second/kustomization\.yaml\n(.*?)```", page, re.DOTALL)
    assert text.count("../prod") == 1
    return str(text.replace("../prod", f"../{overlay}"))


@cache
def rendered(build: str) -> str:
    """The YAML of a build, or of a folder."""
    overlay, components = BUILDS.get(build.removesuffix(_SECOND), (build, ()))
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "k8s"
        shutil.copytree(K8S, tree)
        target = tree / overlay
        if components:
            target = tree / "overlays" / "combined"
            target.mkdir()
            kustomization = {
                "resources": [f"../../{overlay}"],
                "components": [f"../../components/{one}" for one in components],
            }
            (target / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        if build.endswith(_SECOND):
            below, target = target.name, tree / "overlays" / "second"
            target.mkdir()
            (target / "kustomization.yaml").write_text(_second_overlay(below), encoding="utf-8")
        done = subprocess.run(
            [program("kubectl"), "kustomize", str(target)], capture_output=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, f"kustomize warns: {done.stderr}"
        return done.stdout


@cache
def manifests(build: str) -> tuple[Manifest, ...]:
    """The objects of a build or of a chart, and for a sharded one the Job with which a pod leaves."""
    if build in CHARTS:
        return chart(build)
    objects = [one for one in yaml.safe_load_all(rendered(build)) if one]
    if build.startswith("sharded"):
        name = "fmq-second" if build.endswith(_SECOND) else "fmq"
        objects.append(leave_job(pick(objects, "StatefulSet", name), 2))
    return tuple(objects)


def leave_job(stateful_set: Manifest, ordinal: int) -> Manifest:
    """The Job that scale_in.py makes for a pod."""
    done = subprocess.run(
        [sys.executable, SCALE_IN, "--print-job", str(ordinal)],
        input=json.dumps(stateful_set),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    job: Manifest = json.loads(done.stdout)
    return job


def pick(objects: tuple[Manifest, ...] | list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that kind and name."""
    (found,) = [one for one in objects if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return found


def of_kind(build: str, kind: str) -> list[Manifest]:
    """All objects of a kind."""
    return [one for one in manifests(build) if one["kind"] == kind]


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes pods with these labels."""
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    fits = all(labels.get(one["key"]) in one["values"] for one in expressions)
    return fits and selector.get("matchLabels", {}).items() <= labels.items()


class Workload(NamedTuple):
    """An object with a pod template."""

    owner: Manifest
    pod: Manifest

    @property
    def name(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    @property
    def spec(self) -> Manifest:
        spec: Manifest = self.pod["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.pod["metadata"]["labels"]
        return labels

    @property
    def containers(self) -> list[Manifest]:
        """All of them, sidecars too."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def has(self, name: str) -> bool:
        """Whether there is a container of that name."""
        return any(one["name"] == name for one in self.containers)

    def container(self, name: str) -> Manifest:
        (found,) = [one for one in self.containers if one["name"] == name]
        return found

    @property
    def is_ours(self) -> bool:
        return self.labels["app.kubernetes.io/name"] == "fmq"

    @property
    def volumes(self) -> dict[str, Manifest]:
        """Volumes by name; claim templates as the claims of pod 0."""
        found = {one["name"]: one for one in self.spec.get("volumes", [])}
        for one in self.owner["spec"].get("volumeClaimTemplates", []):
            name = one["metadata"]["name"]
            claim = f"{name}-{self.owner['metadata']['name']}-0"
            found[name] = {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        return found

    def mounts(self, container: Manifest) -> dict[str, Manifest]:
        """What a container sees at which path."""
        return {one["mountPath"]: self.volumes[one["name"]] for one in container.get("volumeMounts", [])}


def workloads(build: str) -> list[Workload]:
    """Everything in a build that makes pods."""
    found = []
    for one in manifests(build):
        spec = one.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if one["kind"] == "CronJob" else spec
        if "template" in spec:
            found.append(Workload(one, spec["template"]))
    return found


def our_containers(build: str) -> Iterator[tuple[Workload, Manifest]]:
    """Each listener, processor and web page."""
    for workload in workloads(build):
        if workload.is_ours:
            for container in workload.containers:
                if container["name"] in SERVICES:
                    yield workload, container


def environment(build: str, workload: Workload, container: Manifest, *, ordinal: int = 0) -> dict[str, str]:
    """The variables that the manifests give a container of pod ``ordinal``, as Kubernetes makes them."""
    objects = manifests(build)
    owner = workload.owner["metadata"]
    fields = {"metadata.namespace": owner["namespace"], "metadata.name": f"{owner['name']}-{ordinal}"}
    fields |= {f"metadata.labels['{name}']": value for name, value in workload.labels.items()}
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found |= pick(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in container.get("env", []):
        if "value" in one:
            found[one["name"]] = re.sub(r"\$\((\w+)\)", lambda match: found[match[1]], one["value"])
        else:
            source = one["valueFrom"]
            if "configMapKeyRef" in source:
                key = source["configMapKeyRef"]
                data = pick(objects, "ConfigMap", key["name"])["data"]
                if key["key"] in data or not key.get("optional"):
                    found[one["name"]] = data[key["key"]]
            else:
                found[one["name"]] = fields[source["fieldRef"]["fieldPath"]]
    return found


def with_file(build: str, workload: Workload, container: Manifest, folder: Path, *, ordinal: int = 0) -> dict[str, str]:
    """The same, with the configuration file that the container sees, written into ``folder``."""
    found = environment(build, workload, container, ordinal=ordinal)
    at, _, name = found["FMQ_CONFIG"].rpartition("/")
    source = workload.mounts(container)[at]["configMap"]["name"]
    file = folder / f"{source}.toml"
    file.write_text(pick(manifests(build), "ConfigMap", source)["data"][name], encoding="utf-8")
    return found | {"FMQ_CONFIG": str(file)}
