"""What holds for one broker only: a setting of Mosquitto that loses messages."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.brokers.mosquitto import Mosquitto
from support.brokers.trial import Trial, numbered, spoken

_FIXED_BEFORE = (2, 0, 12)


@pytest.mark.parametrize("kind", ["mosquitto", "mosquitto-newer"], indirect=True)
@pytest.mark.feature("Mosquitto's `per_listener_settings true`")
def test_per_listener_settings(kind: type[Mosquitto], tmp_path: Path, says: Callable[..., None]) -> None:
    """From 2.0.12 on the broker drops what comes for an absent client (mosquitto#2618), as a plain client sees as well."""
    service = kind(tmp_path / "own")
    service.set_per_listener()
    with service:
        for version in spoken(service):
            with Trial(service, version, tmp_path / version.replace(".", ""), says) as trial:
                queue = trial.topic("#")
                trial.away(queue)
                with trial.plain("control", clean=False) as client:
                    client.subscribe(queue)
                sent = numbered("away", 100)
                trial.publish((trial.topic("x"), payload) for payload in sent)
                trial.listen(queue)
                with trial.plain("control", clean=False) as client:
                    trial.publish([(trial.topic("x"), b"now")])
                    trial.await_stored(queue, [b"now"])
                    client.await_payload(b"now")
                    kept = set(client.payloads) & set(sent)
                stored = set(trial.payloads(queue)) & set(sent)
                assert stored == kept
                assert bool(kept) == (_numbers(kind.version()) < _FIXED_BEFORE)
                trial.says(
                    "keeps what comes for an absent listener" if kept else "keeps nothing for an absent listener"
                )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
