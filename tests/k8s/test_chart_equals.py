"""The Helm chart makes what kustomize makes; each difference has a reason."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import yaml

from k8s.charts import CHART, objects
from k8s.manifests import manifests
from k8s.tools import ROOT, Manifest

EQUAL: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "dev": (("dev",), {}),
    "prod+web": (("prod",), {"web": {"enabled": True}}),
    "sharded+monitoring+keda+web": (
        ("prod", "sharded"),
        {
            "web": {"enabled": True},
            "keda": {"enabled": True, "max": 6},
            "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}},
        },
    ),
    "postgres": (("postgres",), {}),
    "postgres+monitoring+keda-processors": (
        ("postgres",),
        {"keda": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}}},
    ),
    "postgres+monitoring+web": (
        ("postgres",),
        {"web": {"enabled": True}, "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}}},
    ),
}
"""Builds by kustomize, and the values with which the chart makes the same."""
ONLY_KUSTOMIZE = {
    r"Namespace/.*": "helm makes namespaces with --create-namespace",
    r".*/mosquitto.*": "the chart brings no broker: dev's is for trying kustomize",
    r"Secret/fmq-broker": "the chart makes no Secrets: passwords don't belong in values",
    r"Job/fmq-leave-2": "made by scale_in.py, not by an overlay",
}
ONLY_HELM = {
    r"(Pod|NetworkPolicy)/fmq-test": "the hook of helm test",
}
DIFFERENT = {
    r"\.metadata\.labels\.(helm\.sh/chart|app\.kubernetes\.io/version)": "labels that helm's users expect",
    r"\.metadata\.labels\.app\.kubernetes\.io/managed-by": "the tool that made it",
    r"\.metadata\.labels\.app\.kubernetes\.io/(name|instance|part-of)": "generators and monitoring of kustomize set fewer labels",
    r"\.spec\.jobTemplate\.metadata\.labels\.fmq-listener": "kustomize labels the Jobs too, which nothing selects",
    r"\.spec(\.jobTemplate\.spec)?\.template\.metadata\.annotations\.checksum/.*": "kustomize puts the hash of the settings into names",
    r"ConfigMap/fmq-config\.data\.fmq\.toml": "its comments; a test of its own compares the settings",
    r"NetworkPolicy/fmq-broker\.spec\.egress\.0\.to\.0\.podSelector\..*instance": "dev's own broker has the instance's label",
    r"NetworkPolicy/fmq-(dns|postgres)\.spec\.egress\.0\.to\.0\.podSelector\..*": "the same pods, in a form to which kustomize adds no label",
    r"PodMonitor/fmq\.spec\.jobLabel": "names of releases vary; the rules look for jobs with fmq in their names",
    r"StatefulSet/fmq\..*\.(web-)?broker-ca\..*": "the component web can't know whether its overlay mounts the CA; the chart does",
}
"""Patterns of paths that may differ, each with its reason."""


def _flat(found: Any, path: str) -> Iterator[tuple[str, object]]:  # noqa: ANN401 - any part of a manifest
    """All values within a manifest by path; what has a name by its name, since order means nothing there."""
    if isinstance(found, dict):
        for name, one in found.items():
            yield from _flat(one, f"{path}.{name}")
    elif isinstance(found, list):
        for position, one in enumerate(found):
            name = one.get("name", position) if isinstance(one, dict) else position
            yield from _flat(one, f"{path}.{name}")
    else:
        yield path, found


def _by_name(all_of_them: tuple[Manifest, ...] | list[Manifest]) -> dict[str, dict[str, object]]:
    """Flat manifests by kind and name, without the hashes that kustomize appends."""
    text = json.dumps(all_of_them)
    text = re.sub(r'"((?:fmq|mosquitto)-[a-z]+)-[a-z0-9]{10}"', r'"\1"', text)
    return {
        f"{one['kind']}/{one['metadata']['name']}": dict(_flat(one, f"{one['kind']}/{one['metadata']['name']}"))
        for one in json.loads(text)
    }


def _reason(path: str, reasons: dict[str, str]) -> str | None:
    return next((pattern for pattern in reasons if re.search(f"{pattern}$", path)), None)


@cache
def _differences(build: str) -> tuple[tuple[str, str | None], ...]:
    """Every difference between a build and the chart, with the pattern that gives its reason."""
    return tuple(_compare(build))


def _compare(build: str) -> Iterator[tuple[str, str | None]]:
    examples, values = EQUAL[build]
    mine, its = _by_name(manifests(build)), _by_name(objects(*examples, values=values))
    yield from ((name, _reason(name, ONLY_KUSTOMIZE)) for name in mine.keys() - its.keys())
    yield from ((name, _reason(name, ONLY_HELM)) for name in its.keys() - mine.keys())
    for name in mine.keys() & its.keys():
        for path in mine[name].keys() | its[name].keys():
            if mine[name].get(path) != its[name].get(path):
                yield path, _reason(path, DIFFERENT)


@pytest.mark.parametrize("build", EQUAL)
def test_chart_and_overlay_are_equal(build: str) -> None:
    """The chart makes what the overlay makes, except differences that are listed with a reason."""
    assert [path for path, reason in _differences(build) if reason is None] == []


def test_every_reason_is_needed() -> None:
    """No pattern is left from a difference that no longer exists."""
    used = {reason for build in EQUAL for _, reason in _differences(build)}
    assert used == {*ONLY_KUSTOMIZE, *ONLY_HELM, *DIFFERENT}


def test_the_configuration_files_have_the_same_settings() -> None:
    """The default of the value config is k8s/base/fmq.toml."""
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    def settings(text: str) -> list[str]:
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    assert settings(values["config"]) == settings((ROOT / "k8s" / "base" / "fmq.toml").read_text("utf-8"))
