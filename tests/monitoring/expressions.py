"""The PromQL of rules and dashboards, taken apart."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from monitoring.programs import MONITORING

OF_SERVER = re.compile(r"fmq_store_(?!up|writable|failures)")
"""Metrics that only a store on PostgreSQL has."""
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
_VARIABLES = {
    "$__rate_interval": "5s",
    "$__range": "60s",
    "$__interval": "1s",
    "$namespace": ".*",
    "$installation": ".*",
    "$job": ".+",
    "$instance": ".+",
    "$route": ".+",
    "$top": "10",
}


def dashboards() -> dict[str, dict[str, Any]]:
    """Each dashboard's JSON, by its file name."""
    return {path.name: json.loads(path.read_text("utf-8")) for path in DASHBOARDS}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets() -> Iterator[tuple[str, str, str, str]]:
    """File name, panel title, expression and legend of every query."""
    for name, dashboard in dashboards().items():
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield name, f"{panel['id']} {panel['title']}", target["expr"], target["legendFormat"]


def filled(expression: str, queue: str) -> str:
    """The expression as Grafana sends it with everything selected."""
    expression = expression.replace("${queue:regex}", re.escape(queue).replace("\\", "\\\\"))
    for name, value in {**_VARIABLES, "$queue": queue}.items():
        expression = expression.replace(name, value)
    return expression


def of_prometheus(metric: str) -> bool:
    """Whether Prometheus makes this metric itself."""
    return metric == "up"


def selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    """Every selector, those of ranges too."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> bool:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        return True

    promql.walk(expression, visit)
    return found
