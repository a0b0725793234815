"""The PromQL of rules and dashboards, taken apart."""

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql

from monitoring.programs import MONITORING

OF_SERVER = re.compile(r"fmq_store_(?!up|info|writable|failures)")
"""Metrics that only a store on PostgreSQL has."""
DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
_VARIABLES = {
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


def filled(expression: str, queue: str, *, window: str = "5s", step: str = "1s", whole: str = "60s") -> str:
    """The expression as Grafana sends it with everything selected.

    ``window`` is the range of rates, ``step`` the time between two points, and ``whole`` the time that is shown.
    """
    times = {"$__rate_interval": window, "$__range": whole, "$__interval": step}
    expression = expression.replace("${queue:regex}", re.escape(queue).replace("\\", "\\\\"))
    for name, value in {**times, **_VARIABLES, "$queue": queue}.items():
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
