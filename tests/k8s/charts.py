"""What helm makes of deploy/helm/fmq."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from k8s.tools import ROOT, Manifest, program

HELM = ROOT / "deploy" / "helm"
CHART = HELM / "fmq"
EXAMPLES = HELM / "examples"
_EXTRA = {
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra", "readOnly": True}],
}
_EVERYTHING: dict[str, Any] = {
    "image": {"registry": "registry.example.com/iot", "pullSecrets": ["registry"]},
    "listener": _EXTRA,
    "processor": {"image": {"digest": f"sha256:{'0' * 64}"}, **_EXTRA},
    "settings": {"FMQ_LOG_LEVEL": "WARNING", "FMQ_RETENTION_SECONDS": 3600},
    "handlers": {"mine.py": "def handle(message): ...\n"},
    "pod": {
        "annotations": {"example.com/team": "iot"},
        "labels": {"team": "iot"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "iot", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "high",
        "extraVolumes": [{"name": "extra", "configMap": {"name": "extra"}}],
    },
    "networkPolicy": {
        "extraEgress": [
            {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}], "ports": [{"protocol": "TCP", "port": 443}]},
        ]
    },
    "web": {
        "enabled": True,
        "ingress": {"enabled": True, "className": "nginx", "host": "fmq.example.com", "tlsSecret": "fmq-tls"},
        **_EXTRA,
    },
    "monitoring": {
        "labels": {"release": "kube-prometheus-stack"},
        "podMonitor": {"enabled": True},
        "rules": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "keda": {"enabled": True},
}
_BACKUP = {
    "enabled": True,
    "restore": "fmq-0/20261129T020000Z.db",
    "volume": {"accessMode": "ReadWriteMany"},
    "upload": {
        "enabled": True,
        "image": "registry.example.com/rclone:1.71.2",
        "command": ["rclone", "copy", "/backup", "store:fmq"],
        "envFromSecrets": ["object-store"],
        "egress": [{"to": [{"ipBlock": {"cidr": "203.0.113.9/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
    },
}
_CONFIG = '[service]\nhttp_host = "0.0.0.0"\ngrace_seconds = "30s"\n[processor]\nhandler_timeout = "30s"\n'
_PROCESSORS: list[dict[str, Any]] = [
    {"name": "processor"},
    {"name": "alarms", "config": _CONFIG, "settings": {"FMQ_TOPICS": "alarms/#"}},
]
CHARTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "chart dev": (("dev",), {}),
    "chart prod": (("prod",), {}),
    "chart sharded": (("prod", "sharded"), {}),
    "chart postgres": (("postgres",), {}),
    "chart with everything": (
        ("prod", "sharded"),
        {**_EVERYTHING, "processors": _PROCESSORS, "backup": _BACKUP},
    ),
    "chart with everything, postgres": (
        ("postgres",),
        {**_EVERYTHING, "processors": [{**_PROCESSORS[0], "replicas": 3}, _PROCESSORS[1]]},
    ),
}
"""Names of builds of the chart, each with its values files of deploy/helm/examples and further values."""
FULL_CHARTS = tuple(one for one in CHARTS if "everything" in one)
"""Those with every value set. The others are equal to overlays."""
_STAGED: list[tempfile.TemporaryDirectory[str]] = []


@cache
def staged() -> Path:
    """The chart with the rules and dashboards of monitoring/, as `make chart` packages it."""
    _STAGED.append(tempfile.TemporaryDirectory(prefix="fmq-chart-"))
    subprocess.run([HELM / "stage", _STAGED[0].name], check=True)
    return Path(_STAGED[0].name) / "fmq"


def helm(*arguments: str | Path, tool: str = "helm") -> subprocess.CompletedProcess[str]:
    """Run helm, version 4 or 3, without a cluster and without settings of the user."""
    with tempfile.TemporaryDirectory() as home:
        environ = {"HOME": home, "PATH": "/usr/bin:/bin", "KUBECONFIG": "/dev/null"}
        return subprocess.run(
            [program(tool), *arguments], capture_output=True, encoding="utf-8", check=False, env=environ
        )


def template(
    *examples: str, values: dict[str, Any] | None = None, release: str = "fmq", tool: str = "helm"
) -> subprocess.CompletedProcess[str]:
    """`helm template` with values files of deploy/helm/examples and then ``values``, in the namespace fmq."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(values or {}, file)
        file.flush()
        files = [*(EXAMPLES / f"{one}.yaml" for one in examples), file.name]
        arguments = [text for one in files for text in ("--values", str(one))]
        return helm("template", release, staged(), "--namespace", "fmq", *arguments, tool=tool)


def objects(
    *examples: str, values: dict[str, Any] | None = None, release: str = "fmq", tool: str = "helm"
) -> list[Manifest]:
    """The objects that helm makes, those of `helm test` too. Fails if helm does."""
    done = template(*examples, values=values, release=release, tool=tool)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@cache
def chart(build: str) -> tuple[Manifest, ...]:
    """The objects of one of CHARTS."""
    examples, values = CHARTS[build]
    return tuple(objects(*examples, values=values))
