"""A stand-in for the API server, for the real kubectl and helm: stores objects, scales StatefulSets, ends pods and runs Jobs.

It knows no more than scale_in.py needs, and does at once what a cluster does after a while.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import yaml

_NAMESPACE = "fmq"
_KINDS = {
    "/api/v1": {"pods": "Pod", "persistentvolumeclaims": "PersistentVolumeClaim"},
    "/apis/apps/v1": {"statefulsets": "StatefulSet"},
    "/apis/batch/v1": {"jobs": "Job"},
    "/apis/autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
}


class ApiServer:
    """Serves what is in ``objects`` (plural/name → object), and notes in ``writes`` what was changed."""

    def __init__(self, folder: Path) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.job_outcome = "Complete"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.kubeconfig = folder / "kubeconfig"
        cluster = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "nobody"}}],
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "nobody", "user": {}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(config), encoding="utf-8")

    def add(self, plural: str, one: dict[str, Any]) -> None:
        self.objects[f"{plural}/{one['metadata']['name']}"] = one

    def scale(self, name: str, replicas: int) -> None:
        """Set the count, and end the pods above it."""
        self.objects[f"statefulsets/{name}"]["spec"]["replicas"] = replicas
        self.writes.append(f"scale {name} to {replicas}")
        for key in [key for key in self.objects if key.startswith(f"pods/{name}-")]:
            if int(key.rpartition("-")[2]) >= replicas:
                del self.objects[key]

    def create_job(self, job: dict[str, Any]) -> None:
        """Create a Job that ends as ``job_outcome`` says; with none, it goes on."""
        name = job["metadata"]["name"]
        pod = job["metadata"]["name"].replace("-leave", "")
        assert f"pods/{pod}" not in self.objects, "the Job begins while the pod still has the claim"
        if self.job_outcome:
            job["status"] = {"conditions": [{"type": self.job_outcome, "status": "True"}]}
        self.add("jobs", job)
        self.writes.append(f"create {name}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(api: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            match path.split("/")[1:]:
                case ["version"]:
                    self._answer({"major": "1", "minor": "37", "gitVersion": "v1.37.0"})
                case ["api"]:
                    self._answer({"kind": "APIVersions", "versions": ["v1"]})
                case ["apis"]:
                    self._answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": _groups()})
                case ["openapi", "v3"]:
                    self._answer({"paths": {"apis/batch/v1": {"serverRelativeURL": "/openapi/v3/apis/batch/v1"}}})
                case ["openapi", "v3", *_]:
                    self._answer(_validation())
                case _ if path in _KINDS:
                    self._answer(_resources(path))
                case [*_, "namespaces", "fmq", plural]:
                    items = [one for key, one in api.objects.items() if key.startswith(f"{plural}/")]
                    kind = next(kinds[plural] for kinds in _KINDS.values() if plural in kinds)
                    self._answer({"kind": f"{kind}List", "apiVersion": self._version(path), "items": items})
                case [*_, "statefulsets", name, "scale"]:
                    self._answer(_scale(api.objects[f"statefulsets/{name}"]))
                case [*_, plural, name] if f"{plural}/{name}" in api.objects:
                    self._answer(api.objects[f"{plural}/{name}"])
                case _:
                    self._missing()

        def do_POST(self) -> None:
            job = self._body()
            api.create_job(job)
            self._answer(job, 201)

        def do_PUT(self) -> None:
            name = self.path.partition("?")[0].split("/")[-2]
            api.scale(name, self._body()["spec"]["replicas"])
            self._answer(_scale(api.objects[f"statefulsets/{name}"]))

        def do_DELETE(self) -> None:
            self._body()
            plural, name = self.path.partition("?")[0].split("/")[-2:]
            del api.objects[f"{plural}/{name}"]
            api.writes.append(f"delete {plural}/{name}")
            self._answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

        def _body(self) -> dict[str, Any]:
            length = int(self.headers.get("Content-Length") or 0)
            sent: dict[str, Any] = json.loads(self.rfile.read(length) or "{}")
            return sent

        def _version(self, path: str) -> str:
            return "v1" if path.startswith("/api/") else "/".join(path.split("/")[2:4])

        def _missing(self) -> None:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            self._answer({**status, "message": f"{self.path} not found"}, 404)

        def _answer(self, body: dict[str, Any], status: int = 200) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler


def _groups() -> list[dict[str, Any]]:
    groups = []
    for path in _KINDS:
        if path.startswith("/apis/"):
            _, _, group, version = path.split("/")
            one = {"groupVersion": f"{group}/{version}", "version": version}
            groups.append({"name": group, "versions": [one], "preferredVersion": one})
    return groups


def _resources(path: str) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "update"]
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": verbs}
        for plural, kind in _KINDS[path].items()
    ]
    if "statefulsets" in _KINDS[path]:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale", "singularName": ""}
        resources.append({"name": "statefulsets/scale", "namespaced": True, "verbs": ["get", "update"], **scale})
    version = "v1" if path == "/api/v1" else path.removeprefix("/apis/")
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _validation() -> dict[str, Any]:
    """What tells kubectl that the server checks the fields of Jobs."""
    patch = {
        "x-kubernetes-group-version-kind": {"group": "batch", "version": "v1", "kind": "Job"},
        "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
    }
    paths = {"/apis/batch/v1/namespaces/{namespace}/jobs/{name}": {"patch": patch}}
    return {"openapi": "3.0.0", "info": {"title": "stand-in", "version": "1"}, "paths": paths}


def _scale(stateful_set: dict[str, Any]) -> dict[str, Any]:
    replicas = stateful_set["spec"]["replicas"]
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": stateful_set["metadata"]["name"], "namespace": _NAMESPACE, "resourceVersion": "1"},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas},
    }
