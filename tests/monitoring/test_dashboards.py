"""Dashboards and Grafana's provisioning: what grafana/dashboard-linter asks, and that all names fit together.

Grafana itself can't be had from the package sources that the tests use: its files are checked, not loaded.
"""

import re
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from monitoring.expressions import dashboards, filled, of_prometheus, panels, selectors
from monitoring.programs import MONITORING, ROOT, RULES, groups, rules, run

GRAFANA = MONITORING / "grafana"
_UNITS = {"short", "s", "cps", "cpm", "bytes", "percentunit", "bool_yes_no"}
_CHOSEN = ["namespace", "installation", "job", "instance"]
_MANY = {"queue", "instance"}
"""Labels that may have hundreds of values."""
_STATES = re.compile(r"fmq_(connected|circuit_open|queue_paused|store_up|store_writable|store_primary|build_info)\b")
_RATES = {"rate"}
"""Not increase(): it shows other heights at another zoom."""
each_dashboard = pytest.mark.parametrize("name", dashboards())
EVERY_PANEL = [(name, panel) for name, dashboard in dashboards().items() for panel in panels(dashboard)]
each_panel = pytest.mark.parametrize(
    ("name", "panel"), EVERY_PANEL, ids=[f"{name}-{panel['id']}" for name, panel in EVERY_PANEL]
)


def _provisioned(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GRAFANA / "provisioning" / path).read_text("utf-8"))
    assert found["apiVersion"] == 1
    return found


def _datasource() -> str:
    (one,) = _provisioned("datasources/prometheus.yaml")["datasources"]
    return str(one["uid"])


def test_no_other_dashboard_is_there() -> None:
    """The folder holds what make_monitoring.py makes (test_generator sees that it is the same), and nothing else."""
    assert set(dashboards()) == {"fmq-overview.json", "fmq-queue.json"}


@each_dashboard
def test_dashboard_can_be_kept_in_files(name: str) -> None:
    """Schema, uid, tag, and not to be changed in the browser."""
    dashboard = dashboards()[name]
    assert dashboard["schemaVersion"] == 39
    assert f"{dashboard['uid']}.json" == name
    assert dashboard["title"]
    assert dashboard["description"]
    assert dashboard["editable"] is False
    assert "fmq" in dashboard["tags"]
    assert "id" not in dashboard


@each_dashboard
def test_variables(name: str) -> None:
    """Data source, namespace, installation, job, instance and queue can be chosen; each shows only what fits the ones before it.

    Queries run again when the time range changes. Targets may have neither namespace nor installation.
    """
    variables = {one["name"]: one for one in dashboards()[name]["templating"]["list"]}
    assert list(variables)[:6] == ["datasource", *_CHOSEN, "queue"]
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    assert variables["datasource"]["current"]["value"] == _datasource()
    for one in variables.values():
        assert one["label"]
        if one["type"] == "query":
            assert one["datasource"]["uid"] == "${datasource}"
            assert one["refresh"] == 2
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"]["query"])
            assert asked
            promql.parse(filled(asked[1], "q"))
    for number, wanted in enumerate(_CHOSEN):
        assert variables[wanted]["multi"]
        assert variables[wanted]["includeAll"]
        assert variables[wanted]["allValue"] == (".+" if wanted in ("job", "instance") else ".*")
        assert all(f'{before}=~"${before}"' in variables[wanted]["definition"] for before in _CHOSEN[:number])


@each_dashboard
def test_panels_have_places_of_their_own(name: str) -> None:
    """Ids differ, nothing overlaps, nothing stands out of the grid of 24."""
    all_panels = dashboards()[name]["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in all_panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
    assert len({panel["id"] for panel in all_panels}) == len(all_panels)


@each_panel
def test_panel_explains_itself(name: str, panel: dict[str, Any]) -> None:
    """Title, description, unit, data source by variable and at least one query are there."""
    assert panel["title"], name
    assert panel["description"].endswith((".", ")"))
    assert panel["fieldConfig"]["defaults"]["unit"] in _UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@each_panel
def test_queries(name: str, panel: dict[str, Any]) -> None:
    """Each parses, uses every choice in every selector, and asks for metrics that there are."""
    known = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        text = target["expr"]
        found = selectors(promql.parse(filled(text, "q")))
        assert found, f"{name}: asks for nothing: {text}"
        for label in _CHOSEN:
            assert text.count(f'{label}=~"${label}"') == len(found)
        for one in found:
            assert of_prometheus(one.name or "") or re.sub(r"_(bucket|sum|count)$", "", one.name or "") in known


@each_panel
def test_counters_are_asked_for_rates(name: str, panel: dict[str, Any]) -> None:
    """Every counter is inside rate(): over $__rate_interval in what is drawn, over a fixed time in numbers that should not move."""
    for target in panel["targets"]:
        windows = set(re.findall(r"\[([^\]:]+)\]", target["expr"]))
        assert windows <= ({"5m", "10m"} if panel["type"] in ("stat", "table") else {"$__rate_interval"}), name
        inside: list[int] = []

        def visit(node: promql.Expr, inside: list[int] = inside) -> bool:
            if isinstance(node, promql.Call) and node.func.name in _RATES:
                inside.extend(1 for one in selectors(node) if _is_counter(one.name or ""))
            return True

        expression = promql.parse(filled(target["expr"], "q"))
        promql.walk(expression, visit)
        assert len(inside) == sum(_is_counter(one.name or "") for one in selectors(expression))


@each_panel
def test_no_panel_draws_hundreds_of_lines(name: str, panel: dict[str, Any]) -> None:
    """A query by queue or instance draws the highest ones, chosen once for the whole range; a table has pages."""
    for target in panel["targets"]:
        expression = promql.parse(filled(target["expr"], "q"))
        while isinstance(expression, promql.ParenExpr):
            expression = expression.expr
        if panel["type"] == "table":
            assert panel["options"]["footer"]["enablePagination"]
        elif _MANY & set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])):
            assert re.search(r"\b(top|bottom)k\((\$top|10), ", target["expr"]), f"{name}: {target['expr']}"


@each_panel
def test_states_are_drawn_as_steps(name: str, panel: dict[str, Any]) -> None:
    """What holds until it changes has no slopes."""
    if panel["type"] == "timeseries" and any(_STATES.search(target["expr"]) for target in panel["targets"]):
        assert panel["fieldConfig"]["defaults"]["custom"]["lineInterpolation"] == "stepAfter", name


def _stat(title: str) -> str:
    (panel,) = [
        one for one in panels(dashboards()["fmq-queue.json"]) if one["title"] == title and one["type"] == "stat"
    ]
    return str(panel["targets"][0]["expr"])


def test_figures_of_a_queue(tmp_path: Path) -> None:
    """Growth needs no processor, "Empty in" is absent while the backlog does not shrink, and Out counts what left in any way.

    Computed by promtool for a backlog that grows by 5 messages per second without a processor, and for one that shrinks by 2.
    """
    (tmp_path / "rules.yaml").write_text("groups: []", encoding="utf-8")
    (moved,) = [one for one in panels(dashboards()["fmq-queue.json"]) if one["title"] == "In and out"]
    out = next(target["expr"] for target in moved["targets"] if target["legendFormat"] == "out").replace(
        "$__rate_interval", "5m"
    )
    messages = 'fmq_messages{instance="%s",job="fmq",queue="%s",state="pending"}'
    series = [
        {"series": messages % ("listener", "grows"), "values": "1000+300x30"},
        {"series": messages % ("listener", "shrinks"), "values": "12000-120x30"},
        {"series": messages % ("processor", "shrinks"), "values": "12000-120x30"},
        *(
            {
                "series": f'fmq_processed_total{{instance="processor",job="fmq",queue="shrinks",outcome="{outcome}"}}',
                "values": "0+60x30",
            }
            for outcome in ("done", "skipped", "expired", "dead", "retry", "deferred")
        ),
    ]
    wanted = [
        (_stat("Growth"), "grows", [5.0]),
        (_stat("Growth"), "shrinks", [-2.0]),
        (_stat("Empty in"), "grows", []),
        (_stat("Empty in"), "shrinks", [4800.0]),
        (out, "shrinks", [4.0]),
    ]
    asked = [
        {
            "expr": filled(expression, queue),
            "eval_time": "20m",
            "exp_samples": [{"labels": "{}", "value": value} for value in values],
        }
        for expression, queue, values in wanted
    ]
    case = {
        "rule_files": ["rules.yaml"],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": asked}],
    }
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case), encoding="utf-8")
    run("promtool", "test", "rules", str(tmp_path / "case.yaml"))


def _is_counter(metric: str) -> bool:
    return metric.endswith(("_total", "_bucket", "_sum", "_count"))


def test_dashboards_are_provided() -> None:
    """The provider reads the folder that the compose file mounts, into fmq's own folder."""
    (provider,) = _provisioned("dashboards/fmq.yaml")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert provider["folder"] == "fmq"


def _grafana_rules() -> list[dict[str, Any]]:
    return [rule for group in _provisioned("alerting/rules.yaml")["groups"] for rule in group["rules"]]


def test_grafana_alerts() -> None:
    """Each asks the provisioned data source for a metric that there is, compares, and leads to a runbook."""
    found = _grafana_rules()
    assert len({rule["uid"] for rule in found}) == len(found) >= 2
    for rule in found:
        query, condition = rule["data"]
        assert query["datasourceUid"] == query["model"]["datasource"]["uid"] == _datasource()
        assert selectors(promql.parse(query["model"]["expr"]))
        assert condition["datasourceUid"] == "__expr__"
        assert condition["refId"] == rule["condition"]
        assert condition["model"]["expression"] == query["refId"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert (ROOT / rule["annotations"]["runbook_url"]).exists()
    assert not {rule["title"] for rule in found} & set(rules())


def test_grafana_alerts_ask_what_the_rules_of_prometheus_ask() -> None:
    """The expression of each, with its limit, is that of the alert whose runbook it names."""
    for rule in _grafana_rules():
        name = rule["annotations"]["runbook_url"].removeprefix("docs/runbooks/").removesuffix(".md")
        limit = rule["data"][1]["model"]["conditions"][0]["evaluator"]["params"][0]
        assert rule["data"][0]["model"]["expr"] == " ".join(rules()[name]["expr"].split())
        assert limit == 0  # whatever the expression finds


def test_no_dollar_is_taken_for_a_variable() -> None:
    """Grafana fills in environment variables in these files: every other dollar is doubled."""
    for path in (GRAFANA / "provisioning").rglob("*.yaml"):
        lines = [line.split("#")[0] for line in path.read_text("utf-8").split("\n")]
        assert not re.search(r"(?<!\$)\$(?!\$)", "\n".join(lines)), path.name


def test_policy_and_contact_point_fit() -> None:
    """The policy sends to a contact point that there is."""
    (point,) = _provisioned("alerting/contact-points.yaml")["contactPoints"]
    (policy,) = _provisioned("alerting/policies.yaml")["policies"]
    assert policy["receiver"] == point["name"]
    assert point["receivers"][0]["type"] == "prometheus-alertmanager"


def test_rules_come_from_one_file() -> None:
    """Prometheus reads the rules that the tests read."""
    config = yaml.safe_load((MONITORING / "prometheus" / "prometheus.yml").read_text("utf-8"))
    (pattern,) = config["rule_files"]
    assert list((MONITORING / "prometheus").glob(pattern)) == [RULES]
    assert groups()
