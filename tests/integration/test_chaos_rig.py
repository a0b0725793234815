"""The rig of the chaos runs itself: ``make chaos`` is long, so what it stands on is tried here first."""

from pathlib import Path

from chaos.plan import Plan
from chaos.publisher import Publisher
from chaos.rig import SUBSCRIBED, Rig, end, topics
from chaos.scenario import Result

_MESSAGES = 200


def test_processes_with_faults_built_in_handle_everything_when_no_fault_is_planned(tmp_path: Path) -> None:
    """What wraps the store's calls passes on all that they take: a rig out of date would only wait for its deadline."""
    result = Result("a rig without faults")
    with Rig(tmp_path) as rig:
        rig.prepare()
        listener = rig.listener(Plan(struck=str(tmp_path / "struck")))
        processor = rig.processor(Plan(journal=str(rig.journal), struck=str(tmp_path / "struck")))
        listener.wait_to_say(SUBSCRIBED)
        with Publisher(rig.broker.port, topics(), count=_MESSAGES, allowed=_MESSAGES) as publisher:
            publisher.finish(30)
            rig.await_all(_MESSAGES, 30)
        end(result, listener, processor)
        rig.judge(result, _MESSAGES)
    assert (result.lost, result.duplicated, result.faults) == (0, 0, [])
