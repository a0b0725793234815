"""Draws the panels of the dashboards at 200 queues, from made-up figures in a real Prometheus.

    PYTHONPATH=tests:monitoring python tests/monitoring/draw.py docs/img

Needs matplotlib, which nothing else here does. Grafana draws finer; what counts here is that each query shows what its
panel says, and how much.
"""

import importlib
import json
import math
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from monitoring.expressions import filled, targets
from monitoring.many_queues import prometheus, queue

plt: Any = importlib.import_module("matplotlib.pyplot")  # so that checks of types do not need it
Image: Any = importlib.import_module("PIL.Image")
FuncFormatter: Any = importlib.import_module("matplotlib.ticker").FuncFormatter

_DASHBOARDS = Path(__file__).parents[2] / "monitoring" / "grafana" / "dashboards"
_BACK, _CARD, _TEXT, _GRID = "#111217", "#181b1f", "#ccccdc", "#2c3235"
_COLORS = ["#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#fade2a"]
_NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c"}
_CELL = (0.8, 0.42)
_MARGIN = 0.004
_LETTERS = 9
"""About how many letters of a legend fit into a column of the grid."""
_BEGUN = 1_790_000_000.0
_SECONDS, _STEP = 3 * 3600, 60
_LEGEND_ROWS = 2
_ROWS = 12
"""Rows of a page of a table."""

Json = dict[str, Any]


def shown(value: float, unit: str) -> str:
    """A figure as Grafana writes it, near enough."""
    if math.isnan(value) or math.isinf(value):
        return "no data"
    value += 0.0  # no -0
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return (
            f"{value * 1000:.3g} ms"
            if abs(value) < 1
            else f"{value:.3g} s"
            if abs(value) < 120
            else f"{value / 60:.3g} min"
            if abs(value) < 7200
            else f"{value / 3600:.3g} h"
            if abs(value) < 172_800
            else f"{value / 86_400:.3g} d"
        )
    if unit == "bytes":
        for name in ("B", "KiB", "MiB"):
            if abs(value) < 1024:
                return f"{value:.3g} {name}"
            value /= 1024
        return f"{value:.3g} GiB"
    text = f"{value / 1000:.3g} K" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} c/s" if unit == "cps" else text


class Picture:
    """One dashboard."""

    def __init__(self, name: str, kept: Json) -> None:
        self.name = name
        self._begun = _BEGUN
        self._figures = kept
        self._ended = _SECONDS
        self._dashboard = json.loads((_DASHBOARDS / name).read_text("utf-8"))
        self._rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in self._dashboard["panels"])
        self._figure = plt.figure(figsize=(24 * _CELL[0], self._rows * _CELL[1]), facecolor=_BACK)

    def draw(self, path: Path) -> None:
        for panel in self._dashboard["panels"]:
            at = panel["gridPos"]
            left, width = at["x"] / 24, at["w"] / 24
            bottom, height = 1 - (at["y"] + at["h"]) / self._rows, at["h"] / self._rows
            if panel["type"] == "row":
                self._figure.text(
                    left + _MARGIN, bottom + height / 2, f"▾ {panel['title']}", color=_TEXT, fontsize=13, va="center"
                )
                continue
            box = (left + _MARGIN, bottom + _MARGIN, width - 2 * _MARGIN, height - 2 * _MARGIN)
            card = self._figure.add_axes(box, facecolor=_CARD, xticks=[], yticks=[])
            for spine in card.spines.values():
                spine.set_color(_GRID)
            top = 0.42 / (at["h"] * _CELL[1])
            card.text(0.015, 1 - top / 2, panel["title"], color="white", fontsize=10, fontweight="bold", va="center")
            series = list(self._series(panel))
            if panel["type"] == "stat":
                self._stat(card, panel, series)
            elif panel["type"] == "table":
                self._table(card, panel)
            elif panel["type"] == "heatmap":
                self._heatmap(self._inner(box, top), panel, series)
            else:
                self._lines(self._inner(box, top), panel, series)
        self._figure.savefig(path, dpi=60, facecolor=_BACK)
        plt.close(self._figure)
        with Image.open(path) as drawn:
            small = drawn.convert("P", palette=Image.Palette.ADAPTIVE, colors=64)
        small.save(path, optimize=True)

    def _inner(self, box: tuple[float, float, float, float], top: float) -> Any:  # noqa: ANN401 - no types
        left, bottom, width, height = box
        axes = self._figure.add_axes(
            (left + 0.14 * width, bottom + 0.26 * height, 0.83 * width, height * (0.72 - top)), facecolor=_CARD
        )
        axes.tick_params(colors=_TEXT, labelsize=8)
        axes.grid(color=_GRID, linewidth=0.6)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{int(value) // 3600}:{int(value) // 60 % 60:02}")
        )
        return axes

    def _series(self, panel: Json) -> Any:  # noqa: ANN401 - a generator of three
        for target in panel["targets"]:
            key = f"{self.name}\t{panel['id']} {panel['title']}\t{target['legendFormat']}"
            for one in self._figures[key]:
                legend = target["legendFormat"]
                for label, value in one["metric"].items():
                    legend = legend.replace("{{" + label + "}}", value)
                legend = " ".join(re.sub(r"\{\{\w+\}\}", "", legend).split())  # a label that is absent
                points = [(float(at) - self._begun, float(value)) for at, value in one["values"]]
                yield legend, points, one["metric"]

    def _stat(self, card: Any, panel: Json, series: list[Any]) -> None:  # noqa: ANN401
        unit = panel["fieldConfig"]["defaults"]["unit"]
        value = series[0][1][-1][1] if series and series[0][1][-1][0] >= self._ended else math.nan
        color = "green"
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
            if step["value"] is None or value >= step["value"]:
                color = step["color"]
        card.text(0.5, 0.4, shown(value, unit), color=_NAMED[color], fontsize=24, ha="center", va="center")

    def _table(self, card: Any, panel: Json) -> None:  # noqa: ANN401
        rows: dict[str, dict[str, str]] = {}
        units = {one["matcher"]["options"]: one["properties"][0]["value"] for one in panel["fieldConfig"]["overrides"]}
        columns = ["Queue", *(target["legendFormat"] for target in panel["targets"])]
        for column, points, labels in self._series(panel):
            at, value = points[-1]
            text = shown(value, units[column]) if at >= self._ended else ""
            rows.setdefault(labels["queue"], {})[column] = text
        lines = [[name, *(values.get(column, "") for column in columns[1:])] for name, values in rows.items()][:_ROWS]
        for number, line in enumerate([columns, *lines]):
            for place, text in enumerate(line):
                color = _COLORS[2] if not number else _TEXT
                card.text(0.02 + place / len(columns), 0.86 - number * 0.065, text, color=color, fontsize=10)

    def _lines(self, axes: Any, panel: Json, series: list[Any]) -> None:  # noqa: ANN401
        unit = panel["fieldConfig"]["defaults"]["unit"]
        stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
        steps = panel["fieldConfig"]["defaults"]["custom"]["lineInterpolation"] == "stepAfter"
        if stacked and series:
            times = range(0, self._ended + 1, _STEP)
            by_second = [{round(at): value for at, value in points} for _, points, _ in series]
            values = [[one.get(at, 0.0) for at in times] for one in by_second]
            axes.stackplot(times, values, labels=[legend for legend, _, _ in series], colors=_COLORS, alpha=0.6)
        else:
            for number, (legend, points, _) in enumerate(series):
                x, y = _with_gaps(points)
                drawn = "steps-post" if steps else "default"
                axes.plot(x, y, label=legend, color=_COLORS[number % len(_COLORS)], linewidth=1.3, drawstyle=drawn)
        axes.set_ylim(bottom=0, top=1 if unit == "bool_yes_no" else None)
        axes.set_xlim(0, self._ended)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit)))
        longest = max([len(legend) for legend, _, _ in series], default=1)
        columns = max(1, min(4, panel["gridPos"]["w"] * _LETTERS // (longest + _LETTERS)))
        named = axes.get_legend_handles_labels()
        seen = [one[: columns * _LEGEND_ROWS] for one in named]  # Grafana scrolls through the others
        legend = axes.legend(
            *seen, loc="upper left", bbox_to_anchor=(-0.15, -0.13), ncol=columns, fontsize=8, frameon=False
        )
        for text in legend.get_texts():
            text.set_color(_TEXT)

    def _heatmap(self, axes: Any, panel: Json, series: list[Any]) -> None:  # noqa: ANN401, ARG002
        buckets = sorted(series, key=lambda one: float(one[2]["le"]))
        times = sorted({at for _, points, _ in buckets for at, _ in points})
        below = [0.0] * len(times)
        grid = []
        for _, points, _ in buckets:
            values = [dict(points).get(at, 0.0) for at in times]
            grid.append([max(value - under, 0.0) for value, under in zip(values, below, strict=True)])
            below = values
        axes.imshow(grid, aspect="auto", origin="lower", cmap="Oranges_r", extent=(times[0], times[-1], 0, len(grid)))
        axes.set_yticks([number + 0.5 for number in range(len(grid))], [one[2]["le"] for one in buckets], fontsize=7)
        axes.grid(visible=False)
        axes.set_xlim(0, self._ended)


def _with_gaps(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    x: list[float] = []
    y: list[float] = []
    for at, value in points:
        if x and at - x[-1] > _STEP:
            x.append(at)
            y.append(math.nan)
        x.append(at)
        y.append(value)
    return x, y


def main(folder: str) -> None:
    """Draw every dashboard."""
    figures = {}
    with (
        tempfile.TemporaryDirectory() as made,
        prometheus(Path(made), _BEGUN, seconds=_SECONDS, step=_STEP) as server,
    ):
        for name, title, expression, legend in targets():
            chosen = queue(7) if name == "fmq-queue.json" else ".*"
            asked = filled(expression, chosen, window="240s", step=f"{_STEP}s", whole=f"{_SECONDS}s")
            found = server.between(asked, _BEGUN, _BEGUN + _SECONDS, step=_STEP)
            figures[f"{name}\t{title}\t{legend}"] = found
    for path in sorted(_DASHBOARDS.glob("*.json")):
        Picture(path.name, figures).draw(Path(folder) / f"{path.stem}.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
