"""Rules and dashboards from parameters: the shipped ones are made from the shipped parameters, and others do what they say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from fmq_monitoring import one_queue, overview, rules
from fmq_monitoring.panels import document
from fmq_monitoring.parameters import (
    ExpectedStore,
    Parameters,
    QueueParameters,
    WrongParametersError,
    parse,
    quoted,
    read,
)

from monitoring.programs import MONITORING, run

_SCRIPT = MONITORING / "make_monitoring.py"
_OWN = Parameters(
    store_labels=("cluster", "pod"),
    installation_labels=("cluster",),
    runbooks="https://git.example.com/runbooks",
    expected={"listener": 2, "processor": 0},
    severity={"FmqHandlerFails": "critical", "FmqDeadLettersKept": "none"},
    queues={
        "alarms/+/#": QueueParameters(age="1m"),
        "bulk": QueueParameters(age="6h", depth=5_000_000, severity="warning"),
        "$quarantine": QueueParameters(severity="none"),
    },
    stores=(ExpectedStore(labels={"cluster": "plant-a"}, processor=2),),
)


def _alerts(parameters: Parameters, name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load(rules.prometheus(parameters))
    return [rule for group in document["groups"] for rule in group["rules"] if rule.get("alert") == name]


def _make(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(_SCRIPT), *options], capture_output=True, text=True, check=False)


def test_the_shipped_files_are_made_from_the_shipped_parameters(tmp_path: Path) -> None:
    """`make_monitoring.py --check` finds nothing to change, and a file that differs is named."""
    done = _make("--check")
    assert (done.returncode, done.stderr) == (0, "")
    done = _make("--check", "--into", str(tmp_path))
    assert done.returncode == 1
    assert "fmq-overview.json differs" in done.stderr


def test_the_shipped_parameters_are_the_defaults() -> None:
    """The file says what holds without it, so it can be copied and shortened."""
    assert read(MONITORING / "parameters.toml") == Parameters() == parse({})


def test_promtool_takes_own_parameters(tmp_path: Path) -> None:
    """Rules with every kind of parameter are valid, and written where they are wanted."""
    file = tmp_path / "rules.yaml"
    file.write_text(rules.prometheus(_OWN), encoding="utf-8")
    run("promtool", "check", "rules", str(file))


def test_a_queue_has_its_own_thresholds() -> None:
    """Queues with thresholds of their own are left out of the general part of the expression, and have a part of their own."""
    usual, bulk = _alerts(_OWN, "FmqMessagesWaitTooLong")
    assert usual["expr"] == (
        r'time() - min by (cluster, pod, queue) (fmq_oldest_due_timestamp_seconds{queue!~"alarms/\\+/\\#|bulk|\\$quarantine"}) > 900 '
        'or time() - min by (cluster, pod, queue) (fmq_oldest_due_timestamp_seconds{queue="alarms/+/#"}) > 60'
    )
    assert usual["labels"] == {"severity": "critical"}
    assert (
        bulk["expr"] == 'time() - min by (cluster, pod, queue) (fmq_oldest_due_timestamp_seconds{queue="bulk"}) > 21600'
    )
    assert bulk["labels"] == {"severity": "warning"}
    (deep,) = _alerts(_OWN, "FmqBacklogLarge")
    assert 'queue="bulk"}) > 5000000' in deep["expr"]
    assert "alarms" not in deep["expr"]


_CASE = """
rule_files: [rules.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'fmq_oldest_due_timestamp_seconds{queue="alarms/+/#"}', values: '0x60'}
      - {series: 'fmq_oldest_due_timestamp_seconds{queue="bulk"}', values: '0x60'}
      - {series: 'fmq_oldest_due_timestamp_seconds{queue="$quarantine"}', values: '0x60'}
      - {series: 'fmq_oldest_due_timestamp_seconds{queue="others"}', values: '0x60'}
    alert_rule_test:
      - alertname: FmqMessagesWaitTooLong
        eval_time: 8m
        exp_alerts:
          - exp_labels: {severity: critical, queue: alarms/+/#}
            exp_annotations: &alarms
              summary: Messages that are due wait too long.
              description: The oldest message of queue alarms/+/# that is due has waited for 8m 0s.
              runbook_url: https://git.example.com/runbooks/FmqMessagesWaitTooLong.md
"""


def test_own_thresholds_fire_when_they_should(tmp_path: Path) -> None:
    """After eight minutes only the queue with one minute is late."""
    (tmp_path / "rules.yaml").write_text(rules.prometheus(_OWN), encoding="utf-8")
    (tmp_path / "case.yaml").write_text(_CASE, encoding="utf-8")
    run("promtool", "test", "rules", str(tmp_path / "case.yaml"))


_ODD = [
    "a{b}\"c'\\d+.*(x",
    "@store@/x",
    "line\nbreak",
    "$quarantine",
    "a: b",
    "plant # 1",
    " #",
    "a, }b{}",
    "next\x85line\u2028and\u00a0space",
    "ü/😀",
    "{{ $labels.queue }}",
]


@pytest.mark.parametrize("severity", [None, "warning"])
def test_names_of_queues_are_names(tmp_path: Path, severity: str | None) -> None:
    """Nothing in the name of a queue means something to YAML, PromQL, its regular expressions, or the templates."""
    own = Parameters(queues=dict.fromkeys(_ODD, QueueParameters(age="1m", depth=0, severity=severity)), jobs=r"f\d+mq")
    for made in (rules.prometheus(own), yaml.safe_dump(yaml.safe_load(rules.kubernetes(own))["spec"])):
        (tmp_path / "rules.yaml").write_text(made, encoding="utf-8")
        series = [f"fmq_oldest_due_timestamp_seconds{{queue={quoted(name)}}}" for name in [*_ODD, "others", "a"]]
        case = {
            "rule_files": ["rules.yaml"],
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [{"series": one, "values": "0x60"} for one in series],
                    "promql_expr_test": [
                        {
                            "expr": "count by (severity) (ALERTS{alertname='FmqMessagesWaitTooLong', alertstate='firing'})",
                            "eval_time": eval_time,
                            "exp_samples": [
                                {"labels": f'{{severity="{name}"}}', "value": count} for name, count in expected.items()
                            ],
                        }
                        for eval_time, expected in (
                            ("8m", {severity or "critical": len(_ODD)}),
                            ("30m", {"critical": 2, severity or "critical": len(_ODD) + (0 if severity else 2)}),
                        )
                    ],
                }
            ],
        }
        (tmp_path / "case.yaml").write_text(json.dumps(case, ensure_ascii=False), encoding="utf-8")
        run("promtool", "test", "rules", str(tmp_path / "case.yaml"))
    alerts = yaml.safe_load(rules.grafana(own))
    assert "FmqMessagesWaitTooLong" not in alerts  # it is read without an error


def test_many_queues_and_zero(tmp_path: Path) -> None:
    """200 queues with thresholds of their own make valid rules, and so does a depth of 0."""
    queues = {f"plant/{one}/#": QueueParameters(age="1m", depth=one, severity="warning") for one in range(200)}
    for own in (Parameters(queues=queues), parse({"thresholds": {"depth": 0}})):
        (tmp_path / "rules.yaml").write_text(rules.prometheus(own), encoding="utf-8")
        run("promtool", "check", "rules", str(tmp_path / "rules.yaml"))


def test_labels_of_a_store_keep_their_dollars() -> None:
    """label_replace takes a dollar in the value of a label for itself, and job can be a label of stores."""
    own = Parameters(
        store_labels=("job",), installation_labels=("job",), stores=(ExpectedStore(labels={"job": 'a$1"b'}),)
    )
    (absent,) = _alerts(own, "FmqAbsent")
    assert r'"job", "a$$1\"b", "", ""' in absent["expr"]
    names = [one["name"] for one in document(overview.dashboard_of(own))["templating"]["list"]]
    assert len(names) == len({*names})


def test_severities_and_removed_alerts() -> None:
    """An alert has the severity of the parameters, and with "none" it is not there."""
    (fails,) = _alerts(_OWN, "FmqHandlerFails")
    assert fails["labels"]["severity"] == "critical"
    assert _alerts(_OWN, "FmqDeadLettersKept") == []


def test_expected_services() -> None:
    """Only what is expected is missed, and a store of the parameters also if none of its services is seen."""
    (absent,) = _alerts(_OWN, "FmqAbsent")
    assert absent["expr"].count('"processor"') == 2  # those of plant-a
    assert 'service="processor", cluster="plant-a"}) or vector(0)) < 2' in absent["expr"]
    (never,) = _alerts(Parameters(expected={"listener": 0, "processor": 0}), "FmqAbsent")
    assert never["expr"] == "vector(0) > 1"


def test_labels_reach_every_dashboard() -> None:
    """Variables and expressions use the labels of the parameters, and no others."""
    for made in (overview.dashboard_of(_OWN), one_queue.dashboard_of(_OWN)):
        whole = document(made)
        names = [one["name"] for one in whole["templating"]["list"]]
        assert names[:4] == ["datasource", "cluster", "job", "instance"]
        assert "namespace" not in str(whole)


def test_kubernetes_and_grafana_have_the_same() -> None:
    """The object of the Operator holds the same groups, and Grafana's alerts the same expressions."""
    groups = yaml.safe_load(rules.prometheus(_OWN))["groups"]
    assert yaml.safe_load(rules.kubernetes(_OWN))["spec"]["groups"] == groups
    asked = rules.grafana(_OWN)
    assert asked.count(r"queue!~\"alarms/\\\\+/\\\\#|bulk|\\\\$$quarantine\"") == 1


def test_wrong_parameters_are_all_reported(tmp_path: Path) -> None:
    """Every problem is one line with its place, the value and what is expected; the exit code is 2, and nothing is written."""
    file = tmp_path / "my.toml"
    file.write_text(
        'colour = 1\nstore_labels = ["a b"]\njobs = ""\nqueues = 3\n[thresholds]\nage = "15"\nfailing = 2\n[severity]\nFmqX = "high"\n'
        "[expected]\nweb = 1\nlistener = -1\n[[stores]]\nprocessor = true\n",
        encoding="utf-8",
    )
    done = _make("--parameters", str(file), "--into", str(tmp_path / "made"))
    assert done.returncode == 2
    assert not (tmp_path / "made").exists()
    lines = [line.removeprefix(f"{file}: ") for line in done.stderr.strip().split("\n")]
    assert [line.split(":")[0] for line in lines] == [
        "colour",
        "store_labels = ['a b']",
        "jobs = ''",
        "queues = 3",
        "thresholds.age = '15'",
        "thresholds.failing = 2",
        "stores[1].processor = True",
        "stores[1].labels",
        "expected.web",
        "expected.listener = -1",
        "severity.FmqX = 'high'",
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"severity": {"FmqNoSuch": "info"}}, "unknown alert FmqNoSuch"),
        ({"installation_labels": ["region"]}, "expected some of store_labels"),
        ({"queues": {"a": 3}}, 'queues."a" = 3: expected a table'),
        (
            {"store_labels": [], "installation_labels": []},
            "store_labels = []: expected a list of names of labels, at least one",
        ),
        ({"store_labels": ["pod", "pod"]}, "each once"),
        ({"store_labels": ["é"]}, "expected a list of names of labels"),
        ({"jobs": "("}, "jobs = '(': expected a regular expression"),
        ({"runbooks": "a: b"}, "runbooks = 'a: b': expected a folder or an address, without spaces"),
        ({"runbooks": "@store@"}, "expected a folder or an address"),
        ({"stores": [{"labels": {"bad-label": "a"}}]}, "expected a table of labels and their values"),
        ({"stores": [{"labels": {"pod": 1}}]}, "stores[1].labels = {'pod': 1}: expected a table of labels"),
    ],
)
def test_parameters_that_do_not_fit(given: dict[str, Any], problem: str) -> None:
    """Names that fit nothing are refused."""
    with pytest.raises(WrongParametersError, match=re.escape(problem)):
        rules.prometheus(parse(given))


@pytest.mark.parametrize("what", ["bytes", "folder", "target"])
def test_files_that_cannot_be_used(tmp_path: Path, what: str) -> None:
    """One line names the file and the reason, without a traceback."""
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "folder").mkdir()
    source = ["--parameters", str(tmp_path / what)] if what != "target" else []
    done = _make(*source, "--into", str(tmp_path / "bytes"))
    assert done.returncode == 2
    assert re.fullmatch(r"\S+: (not TOML: 'utf-8' codec|Is a directory|Not a directory).*\n", done.stderr)


def test_a_file_that_is_not_toml(tmp_path: Path) -> None:
    """The place in the file is named."""
    file = tmp_path / "my.toml"
    file.write_text("age = \n", encoding="utf-8")
    done = _make("--parameters", str(file), "--check")
    assert done.returncode == 2
    assert "not TOML" in done.stderr
    assert "line 1" in done.stderr
