"""Every build and the chart, against the schemas of Kubernetes and the checks of checkov."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s.charts import FULL_CHARTS
from k8s.manifests import BROKER, BUILDS, DATABASE, K8S, VERSIONS, manifests, rendered
from k8s.tools import program

RESTORE = K8S / "restore.yaml"
CUSTOM = {"PodMonitor", "PrometheusRule", "ScaledObject"}
"""Kinds that come with an operator: kubernetes-validate has no schema of theirs."""


OF_SOME = {
    "CKV_K8S_8": "the loop that makes backups and the pod that restores them answer nothing",
    "CKV_K8S_9": "the same",
    "CKV_K8S_35": "the user's image that copies backups to an object store takes its credentials as variables",
}
"""What checkov finds only in the chart with everything and in restore.yaml, with the reasons."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each build and chart, leaving Jobs included."""
    folder = tmp_path_factory.mktemp("rendered")
    for build in (*BUILDS, *FULL_CHARTS):
        (folder / f"{build}.yaml").write_text(yaml.safe_dump_all(manifests(build)), encoding="utf-8")
    (folder / "restore.yaml").write_text(RESTORE.read_text("utf-8"), encoding="utf-8")
    return folder


def test_nothing_is_left_out() -> None:
    """Each overlay and each component is part of a build that is checked."""
    built = {overlay for overlay, _ in BUILDS.values()}
    built |= {f"components/{one}" for _, components in BUILDS.values() for one in components} | {DATABASE, BROKER}
    built |= {f"overlays/postgres/listener{end}" for end in ("", "-a", "-b")}
    assert {str(one.parent.relative_to(K8S)) for one in K8S.rglob("kustomization.yaml")} == built


@pytest.mark.parametrize("version", VERSIONS)
def test_builds_fit_the_schemas(version: str, folder: Path) -> None:
    """Every object of every build is valid, with no unknown field, in each supported version of Kubernetes."""
    files = sorted(str(one) for one in folder.iterdir())
    done = subprocess.run(
        [program("kubernetes-validate"), "--strict", "--kubernetes-version", version, *files],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    lines = (done.stdout + done.stderr).splitlines()
    unknown = set(re.findall(r"schema for kind (\w+)", "\n".join(line for line in lines if line.startswith("WARN"))))
    passed = sum(line.startswith("INFO") and f"against version {version}" in line for line in lines)
    assert done.returncode == 0, done.stdout + done.stderr
    assert unknown <= CUSTOM
    assert passed == 1 + sum(one["kind"] not in CUSTOM for build in (*BUILDS, *FULL_CHARTS) for one in manifests(build))


def test_the_validator_finds_mistakes(tmp_path: Path) -> None:
    """A mistyped field is refused: the check above can fail."""
    file = tmp_path / "wrong.yaml"
    file.write_text(rendered("base").replace("terminationGracePeriodSeconds", "terminationGraceSeconds"), "utf-8")
    done = subprocess.run(
        [program("kubernetes-validate"), "--strict", str(file)], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode != 0
    assert "terminationGraceSeconds" in done.stdout + done.stderr


def test_checkov_finds_only_what_is_skipped_with_a_reason(folder: Path) -> None:
    """What checkov finds are exactly the checks that .checkov.yaml lists, each under a comment that says why."""
    config = K8S / ".checkov.yaml"
    done = subprocess.run(
        [
            program("checkov"),
            "--directory",
            folder,
            *["--framework", "kubernetes", "--skip-download", "--soft-fail", "-o", "json"],
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    skipped = yaml.safe_load(config.read_text("utf-8"))["skip-check"]
    found = report["results"]["failed_checks"]
    failed = {
        one["check_id"]: one["check_name"]
        for one in found
        if not (one["check_id"] in OF_SOME and any(part in one["file_path"] for part in ("chart", "restore")))
    }
    assert {one["check_id"] for one in found} >= set(OF_SOME)
    assert set(failed) == set(skipped), f"repair it, skip it with a reason, or stop skipping it: {failed}"
    assert report["summary"]["passed"] > 0
    assert report["summary"]["parsing_errors"] == 0
    reasons = re.findall(r"^  #[^\n]+\n(?:  #[^\n]+\n)*  - (CKV\w+)$", config.read_text("utf-8"), re.MULTILINE)
    assert reasons == skipped
