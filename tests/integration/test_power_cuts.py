"""What a power cut leaves behind. How many: FMQ_TEST_CUTS, 12 by default; ``make chaos`` makes 500 and more."""

import os
import random
from pathlib import Path

from chaos.scenarios.power_cut import cut_power
from fmq.store.options import Durability

_CUTS = int(os.environ.get("FMQ_TEST_CUTS", "12"))


def test_what_was_committed_with_full_durability_survives_power_cuts(tmp_path: Path) -> None:
    """At any moment, with what was not synced kept, lost or torn: every message is there, and the file is sound."""
    found = cut_power(tmp_path, random.Random(20_261_124), durability=Durability.FULL, cuts=_CUTS)
    assert found.lost == 0
    assert found.faults == []
    assert found.torn > _CUTS // 4, "the cuts hit nothing: they prove nothing"


def test_with_normal_durability_the_same_cuts_lose_messages(tmp_path: Path) -> None:
    """The control: without a sync before the acknowledgement messages are lost, but the file stays sound."""
    found = cut_power(tmp_path, random.Random(20_261_124), durability=Durability.NORMAL, cuts=_CUTS)
    assert found.lost > 0
    assert found.faults == []
