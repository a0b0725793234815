"""The rules: right by promtool, each with its cases, its page, and the same in Kubernetes."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from click.testing import CliRunner

from fmq.cli.main import fmq_command
from monitoring.expressions import of_prometheus, selectors
from monitoring.programs import MONITORING, ROOT, RULES, groups, rules, run, shortened

TESTS = sorted((MONITORING / "prometheus" / "tests").glob("*.yaml"))
RUNBOOKS = ROOT / "docs" / "runbooks"
KUBERNETES = ROOT / "k8s" / "components" / "monitoring" / "rules.yaml"
_SECTIONS = ("## What it means", "## How to look", "## What to do")
_STORE = {
    "fmq_messages",
    "fmq_queue_paused",
    "fmq_oldest_pending_timestamp_seconds",
    "fmq_oldest_due_timestamp_seconds",
    "fmq_database_bytes",
    "fmq_wal_bytes",
    "fmq_free_disk_bytes",
    "fmq_store_up",
    "fmq_store_sync_standbys_wanted",
    "fmq_store_sync_standbys",
    "fmq_store_replication_lag_bytes",
    "fmq_store_oldest_snapshot_seconds",
    "fmq_store_dead_rows",
}
_OF_ALL = {"FmqAbsent", "FmqVersionsDiffer", "FmqStoresDiffer"}
"""Their cases have two installations already."""
each_alert = pytest.mark.parametrize("name", rules())


@cache
def _cases() -> list[dict[str, object]]:
    return [case for path in TESTS for case in yaml.safe_load(path.read_text("utf-8"))["tests"]]


def test_promtool_takes_them() -> None:
    """`promtool check rules` and the whole `promtool check config` succeed."""
    assert f"{len(rules()) + len(rules('record'))} rules found" in run("promtool", "check", "rules", str(RULES))
    assert "is valid" in run("promtool", "check", "config", str(MONITORING / "prometheus" / "prometheus.yml"))


def test_their_cases_hold() -> None:
    """`promtool test rules` succeeds for every file."""
    assert run("promtool", "test", "rules", *map(str, TESTS)).count("SUCCESS") == len(TESTS)


@each_alert
def test_has_a_case_that_fires_and_one_that_does_not(name: str) -> None:
    """Each alert is seen to fire, with labels and texts, and seen to be quiet over series of its own metrics."""
    fires = quiet = 0
    for case in _cases():
        for one in case.get("alert_rule_test", []):  # type: ignore[attr-defined]
            if one["alertname"] == name:
                fires += bool(one["exp_alerts"])
                quiet += not one["exp_alerts"]
    assert fires >= 1
    assert quiet >= 1


def test_two_stores_never_mix(tmp_path: Path) -> None:
    """What fires for a store fires for it alone while another store is quiet, and with its labels.

    The series of each case that fires are those of one store, and those of the quiet cases of the same alert are those of another one.
    """
    for name in set(rules()) - _OF_ALL:
        fires = [case for case in _cases() if any(one["exp_alerts"] for one in _asked(case, name))]
        quiet = [case for case in _cases() if any(not one["exp_alerts"] for one in _asked(case, name))]
        made = [_two(case, quiet[0], name) for case in fires]
        assert made
        # Its rule alone: promtool evaluates all that are there, each minute.
        alone = {"groups": [{"name": name, "rules": [rules()[name]]}]}
        case = {"rule_files": [f"{name}.rules"], "evaluation_interval": "1m", "tests": made}
        (tmp_path / f"{name}.rules").write_text(yaml.safe_dump(alone), encoding="utf-8")
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(case), encoding="utf-8")
    run("promtool", "test", "rules", *map(str, tmp_path.glob("*.yaml")))


def _asked(case: Any, name: str) -> list[Any]:  # noqa: ANN401 - YAML
    return [one for one in case.get("alert_rule_test", []) if one["alertname"] == name]


def _two(case: Any, other: Any, name: str) -> Any:  # noqa: ANN401 - YAML
    """A case with the series of both, each in a namespace and installation of its own, at a time when ``other`` is quiet."""
    (asked,) = [one for one in _asked(case, name) if one["exp_alerts"]]
    at = _minutes(asked["eval_time"])
    quiet_at = at if "time()" in rules()[name]["expr"] else _minutes(_asked(other, name)[0]["eval_time"])
    end = max(at, quiet_at)
    bad, good = 'installation="bad",namespace="one"', 'installation="good",namespace="two"'
    series = [_labelled(one, bad, end - at) for one in case["input_series"]]
    series += [_labelled(one, good, end - quiet_at) for one in other["input_series"]]
    labels = {"namespace": "one", "installation": "bad"}
    alerts = [{**one, "exp_labels": {**one["exp_labels"], **labels}} for one in asked["exp_alerts"]]
    test = {**asked, "eval_time": f"{end}m", "exp_alerts": alerts}
    return {"interval": case["interval"], "input_series": series, "alert_rule_test": [test]}


def _minutes(duration: str) -> int:
    return sum(int(number) * {"m": 1, "h": 60}[unit] for number, unit in re.findall(r"(\d+)([hm])", duration))


def _labelled(series: dict[str, str], labels: str, late: int = 0) -> dict[str, str]:
    """The series with these labels, beginning ``late`` samples later."""
    without = re.sub(r'installation="\w+",', "", series["series"])
    values = f"_x{late} {series['values']}" if late else series["values"]
    return {"series": without.replace("{", f"{{{labels},"), "values": values}


def test_every_recorded_rule_has_a_case() -> None:
    """Each recorded series is computed in a case."""
    asked = yaml.safe_dump(_cases())
    assert [name for name in rules("record") if f"expr: {name}" not in asked] == []


@each_alert
def test_can_be_read_by_who_is_woken(name: str) -> None:
    """Name, severity, a summary without values, a description with what it is about, and the runbook are there."""
    rule = rules()[name]
    assert re.fullmatch(r"Fmq([A-Z][a-z]+)+", name)
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in notes["summary"]
    assert notes["runbook_url"].endswith(f"docs/runbooks/{name}.md")


@each_alert
def test_has_its_runbook(name: str) -> None:
    """The page says what it means, how to look and what to do, in this order, and names the severity."""
    page = (RUNBOOKS / f"{name}.md").read_text("utf-8")
    assert page.startswith(f"# {name}\n")
    assert rules()[name]["labels"]["severity"] in page.split("\n")[2]
    assert [line for line in page.split("\n") if line in _SECTIONS] == list(_SECTIONS)


def test_no_runbook_is_left_over() -> None:
    """Each page belongs to an alert, and the list of all names every one."""
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(rules())
    listed = (RUNBOOKS / "README.md").read_text("utf-8")
    assert [name for name in rules() if f"({name}.md)" not in listed] == []


def test_runbooks_use_commands_that_there_are() -> None:
    """Each `fmq …` that a page tells to type is a command that `fmq --help` knows."""
    for path in RUNBOOKS.glob("*.md"):
        for typed in re.findall(
            r"(?:^|listener |-- )fmq ((?:dead )?[a-z-]+)", _code(path.read_text("utf-8")), re.MULTILINE
        ):
            done = CliRunner().invoke(fmq_command, [*typed.split(), "--help"])
            assert done.exit_code == 0, f"{path.name}: `fmq {typed}` does not exist"


def _code(page: str) -> str:
    """What is set as code."""
    return "\n".join(one for pair in re.findall(r"```sh\n(.*?)```|`([^`\n]+)`", page, re.DOTALL) for one in pair)


def test_kubernetes_has_the_same() -> None:
    """The PrometheusRule holds the same groups, alerts and recorded ones: kustomize takes no file from outside its folder."""
    assert yaml.safe_load(KUBERNETES.read_text("utf-8"))["spec"]["groups"] == groups()


@pytest.mark.parametrize("name", [*rules(), *rules("record")])
def test_figures_of_the_store_are_never_summed(name: str) -> None:
    """Every service of a store shows them: a sum would count them once a service."""
    rule = rules().get(name) or rules("record")[name]
    sums: list[str] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.AggregateExpr) and str(node.op) == "sum":
            sums.extend(one.name or "" for one in selectors(node))
        return True

    promql.walk(promql.parse(rule["expr"]), visit)
    assert not _STORE & set(sums)


def test_metrics_are_documented() -> None:
    """Each metric that is asked for is in docs/metrics.md."""
    known = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))
    for rule in (*rules().values(), *rules("record").values()):
        for one in selectors(promql.parse(rule["expr"])):
            assert of_prometheus(one.name or "") or re.sub(r"_(bucket|sum|count)$", "", one.name or "") in known


def test_shortening_changes_times_and_named_limits_only() -> None:
    """The template of the live tests: the same rules, a second for each minute."""
    text = "groups: [{name: g, rules: [{alert: A, expr: 'x[10m:] > 900 and y offset 1h', for: 5m, labels: {severity: x}}]}]"
    made = yaml.safe_load(shortened(text, {"A": {"> 900": "> 15"}}))["groups"][0]["rules"][0]
    assert made == {"alert": "A", "expr": "x[10s:] > 15 and y offset 60s", "for": "5s", "labels": {"severity": "x"}}
    with pytest.raises(AssertionError):
        shortened(text, {"A": {"> 901": "> 15"}})
