"""The settings in the manifests are settings of the code, with values that the services take."""

from pathlib import Path

import pytest

from fmq.service.environment import load
from fmq.service.settings import ServiceSettings, is_secret, variable
from fmq.store.backends import backend_of
from fmq_listener.settings import ListenerSettings
from fmq_processor.settings import ProcessorSettings
from fmq_web.settings import WebSettings
from k8s.manifests import (
    BUILDS,
    ON_VOLUME,
    Workload,
    environment,
    manifests,
    of_kind,
    our_containers,
    with_file,
    workloads,
)
from k8s.tools import Manifest

MODELS: dict[str, type[ServiceSettings]] = {
    "listener": ListenerSettings,
    "processor": ProcessorSettings,
    "web": WebSettings,
}
_DATABASE = "postgresql://fmq@fmq-rw.fmq-database.svc/fmq"
PORTS = {"listener": 9464, "processor": 9465, "web": 9467}
CONTENT = "what is in a file"


def _variables(model: type[ServiceSettings]) -> set[str]:
    """Every variable that a service reads."""
    fields = model.model_fields.items()
    return {variable(name) for name, _ in fields} | {f"{variable(name)}_FILE" for name, one in fields if is_secret(one)}


def _files(build: str, workload: Workload, container: Manifest) -> set[str]:
    """The paths of all files that ConfigMaps and Secrets put into a container."""
    found = set()
    for path, volume in workload.mounts(container).items():
        source = volume.get("configMap") or volume.get("secret")
        if source:
            items = source.get("items") or [
                {"path": key}
                for one in manifests(build)
                if one["metadata"]["name"] in (source.get("name"), source.get("secretName"))
                for key in one.get("data", {})
            ]
            found |= {f"{path}/{item['path']}" for item in items}
    return found


@pytest.mark.parametrize("build", BUILDS)
def test_settings_exist(build: str) -> None:
    """Each FMQ_ variable is read by the container that it is given to; one in the shared ConfigMap, by either."""
    either = _variables(ListenerSettings) | _variables(ProcessorSettings)
    for workload, container in our_containers(build):
        own = {one["name"] for one in container["env"] if one["name"].startswith("FMQ_")}
        assert own <= _variables(MODELS[container["name"]])
        everything = environment(build, workload, container)
        assert {name for name in everything if name.startswith("FMQ_")} <= either | own
    for one in of_kind(build, "ConfigMap"):
        if one["metadata"]["name"].startswith("fmq-settings"):
            assert set(one["data"]) <= either


@pytest.mark.parametrize("build", BUILDS)
def test_values_load(build: str, tmp_path: Path) -> None:
    """Each service takes the environment that it gets, and the files that it names are mounted."""
    for workload, container in our_containers(build):
        variables = with_file(build, workload, container, tmp_path)
        there = _files(build, workload, container)
        for name, value in variables.items():
            if name.startswith("FMQ_") and name.endswith("_FILE"):
                if container["name"] == "processor":
                    continue  # the listener's, from the ConfigMap that they share
                assert value in there, f"{name}={value} is in no volume"
                file = tmp_path / value.lstrip("/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{CONTENT}\n", encoding="utf-8")
                variables[name] = str(file)
        settings = load(MODELS[container["name"]], {}, variables, strict=True)
        on_volume = build in ON_VOLUME
        assert (settings.queue_url == "sqlite:////data/mqtt_queue.db") == on_volume
        assert on_volume or backend_of(settings.queue_url).same(settings.queue_url, _DATABASE)
        assert isinstance(settings, WebSettings) or settings.topics  # type: ignore[attr-defined]
        assert settings.http_port == PORTS[container["name"]]
        if isinstance(settings, ListenerSettings) and build != "base":
            assert settings.username == "fmq"
            assert settings.password == CONTENT
            assert settings.broker.tls == (not build.startswith("dev"))


@pytest.mark.parametrize("build", ON_VOLUME)
def test_client_ids_are_the_pods(build: str, tmp_path: Path) -> None:
    """Each pod has a client id of its own, made of names that it keeps, and not the default, made of a host name."""
    (tmp_path / "password").write_text("x", encoding="utf-8")
    for workload in workloads(build):
        if workload.name != "StatefulSet/fmq":
            continue
        ids = []
        for ordinal in range(3):
            variables = with_file(build, workload, workload.container("listener"), tmp_path, ordinal=ordinal)
            variables |= {"FMQ_BROKER_PASSWORD_FILE": str(tmp_path / "password")}
            settings = load(ListenerSettings, {}, variables | {"FMQ_BROKER_USERNAME": "fmq"})
            assert settings.client_id
            ids.append(settings.client_id)
        assert ids == ["fmq-fmq-0", "fmq-fmq-1", "fmq-fmq-2"]


@pytest.mark.parametrize("build", BUILDS)
def test_processor_serves_what_the_listener_stores(build: str, tmp_path: Path) -> None:
    """The processors' queues are those of all listeners, whether subscriptions are shared or not."""
    stored, served = set(), set()
    for workload, container in our_containers(build):
        variables = with_file(build, workload, container, tmp_path)
        if container["name"] == "listener":
            topics = {"FMQ_TOPICS": variables["FMQ_TOPICS"]}
            stored.add(tuple(one.name for one in load(ListenerSettings, {}, topics).filters))
        elif container["name"] == "processor":
            served.add(load(ProcessorSettings, {}, variables).queues)
    assert len(stored) == 1
    assert served == stored


@pytest.mark.parametrize("build", BUILDS)
def test_no_service_sets_a_setting(build: str) -> None:
    """The variables that Kubernetes makes of Services are turned off, and none would have been a setting's name."""
    assert all(workload.spec["enableServiceLinks"] is False for workload in workloads(build))
    names = {one["metadata"]["name"].upper().replace("-", "_") for one in of_kind(build, "Service")}
    made = {f"{name}_{ending}" for name in names for ending in ("SERVICE_HOST", "SERVICE_PORT", "PORT")}
    assert not made & (_variables(ListenerSettings) | _variables(ProcessorSettings))
