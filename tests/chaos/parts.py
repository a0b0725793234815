"""All scenarios, in the order in which they run."""

from collections.abc import Mapping, Sequence

from chaos.scenario import Scenario
from chaos.scenarios import (
    broker_kills,
    brokers,
    clocks,
    controls,
    disks,
    hostile,
    kills,
    leaving,
    load,
    networks,
    power_cut,
    properties,
    reads,
    refusals,
    replaced,
    wrong_clocks,
)

PARTS: Mapping[str, Sequence[Scenario]] = {
    "power": power_cut.SCENARIOS,
    "kills": kills.SCENARIOS,
    "brokers": brokers.SCENARIOS,
    "broker_kills": broker_kills.SCENARIOS,
    "refusals": refusals.SCENARIOS,
    "leaving": leaving.SCENARIOS,
    "networks": networks.SCENARIOS,
    "disks": disks.SCENARIOS,
    "reads": reads.SCENARIOS,
    "replaced": replaced.SCENARIOS,
    "clocks": clocks.SCENARIOS,
    "wrong_clocks": wrong_clocks.SCENARIOS,
    "hostile": hostile.SCENARIOS,
    "properties": properties.SCENARIOS,
    "load": load.SCENARIOS,
    "controls": controls.SCENARIOS,
}
