"""Makes the JSON of Grafana's dashboards from panels of a few lines.

What all panels share (datasource, units, legend, matchers of the variables) is added here once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 39
"""Of Grafana 11: later ones read it too, and bring it up to date as they load it."""
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel. ``queries`` maps legends to expressions; ``limits`` colours from a value on."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    is_state: bool = False
    """A value that holds until it changes: drawn as steps."""
    limits: dict[float, str] = field(default_factory=dict)
    custom: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The matchers of every selector: ``{}`` in an expression stands for those of services, ``{Q}`` for those of queues too."""

    services: str
    queues: str

    def fill(self, expression: str) -> str:
        both = f"{self.services}, {self.queues}"
        for mark, matchers in (("{}", self.services), ("{,", self.services), ("{Q}", both), ("{Q,", both)):
            expression = expression.replace(mark, f"{{{matchers}{', ' if mark[-1] == ',' else '}'}")
        return expression


def _targets(panel: Panel, scope: Scope) -> list[Json]:
    instant = panel.kind in ("stat", "table")
    made = []
    for number, (legend, expression) in enumerate(panel.queries.items()):
        target = {
            "datasource": _DATASOURCE,
            "expr": scope.fill(expression),
            "legendFormat": legend,
            "refId": chr(ord("A") + number),
            "instant": instant,
            "range": not instant,
        }
        if panel.kind == "table":
            target["format"] = "table"
        if panel.kind == "heatmap":
            target["format"] = "heatmap"
        made.append(target)
    return made


def thresholds(panel: Panel) -> Json:
    """The colours of a panel, from their values on."""
    steps: list[Json] = [{"color": "green", "value": None}]
    steps += [{"color": color, "value": value} for value, color in panel.limits.items()]
    return {"mode": "absolute", "steps": steps}


def _options(panel: Panel) -> tuple[Json, Json]:
    """What is particular to a kind of panel: its options, and its fields' own settings."""
    if panel.kind == "stat":
        shown = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": shown, "colorMode": "value", "graphMode": "none", "textMode": "auto"}, {}
    if panel.kind == "table":
        return {"showHeader": True, "cellHeight": "sm", "footer": {"enablePagination": True}}, {}
    if panel.kind == "heatmap":
        return {"calculate": False, "color": {"scheme": "Oranges", "mode": "scheme"}, "yAxis": {"unit": panel.unit}}, {}
    lines = {
        "drawStyle": "line",
        "lineInterpolation": "stepAfter" if panel.is_state else "linear",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
    }
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}, {
        "custom": lines,
        "min": 0,
        **({"max": 1} if panel.unit == "bool_yes_no" else {}),
    }


def _panel(panel: Panel, scope: Scope, number: int, x: int, y: int) -> Json:
    options, defaults = _options(panel)
    made: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "targets": _targets(panel, scope),
        "options": options,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "thresholds": thresholds(panel), **defaults},
            "overrides": [],
        },
    }
    fields = panel.custom.get("fieldConfig", {})
    made["fieldConfig"] |= fields
    made["options"] = made["options"] | panel.custom.get("options", {})
    return made | {name: value for name, value in panel.custom.items() if name not in ("fieldConfig", "options")}


def _placed(rows: dict[str, list[Panel]], scope: Scope) -> Iterator[Json]:
    number, y = 1, 0
    for title, panels in rows.items():
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"h": 1, "w": _WIDTH, "x": 0, "y": y},
        }
        number, x, y, height = number + 1, 0, y + 1, 0
        for panel in panels:
            if x + panel.width > _WIDTH:
                x, y, height = 0, y + height, 0
            yield _panel(panel, scope, number, x, y)
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height


def variable(name: str, label: str, query: str, *, multi: bool = True, all_value: str = ".+") -> Json:
    """A choice above the dashboard. ``all_value`` is the expression that All stands for."""
    made: Json = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": f"variable-{name}"},
        "definition": query,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": multi,
        "includeAll": multi,
        "hide": 0,
    }
    if multi:
        made |= {"allValue": all_value, "current": {"text": ["All"], "value": ["$__all"]}}
    return made


def numbers(name: str, label: str, values: Sequence[int], usual: int) -> Json:
    """A choice of numbers above the dashboard."""
    options = [{"text": str(one), "value": str(one), "selected": one == usual} for one in values]
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(map(str, values)),
        "options": options,
        "current": {"text": str(usual), "value": str(usual)},
        "multi": False,
        "includeAll": False,
        "hide": 0,
    }


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A dashboard of rows of panels. ``variables`` are those after the data source."""

    uid: str
    title: str
    description: str
    rows: dict[str, list[Panel]]
    variables: list[Json]
    scope: Scope


def document(made: Dashboard) -> Json:
    """A dashboard as Grafana reads it."""
    datasource = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {"text": "Prometheus", "value": "fmq-prometheus"}, "hide": 0}  # fmt: skip
    return {
        "uid": made.uid,
        "title": made.title,
        "description": made.description,
        "tags": ["fmq"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [datasource, *made.variables]},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "tags": ["fmq"],
                "title": "fmq",
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "url": "",
                "tooltip": "",
            }
        ],
        "panels": list(_placed(made.rows, made.scope)),
    }


def text(made: Dashboard) -> str:
    """A dashboard as it is kept in a file."""
    return json.dumps(document(made), indent=2, ensure_ascii=False) + "\n"
