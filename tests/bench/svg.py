"""Bar charts as SVG, by hand: a plotting library would be by far the largest of all packages here."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _LABELS, _VALUES, _BAR, _GAP, _TOP = 860, 330, 110, 22, 12, 44
_OURS, _THEIRS, _INK = "#1a7f5a", "#8a94a6", "#4b5563"


class Bar(NamedTuple):
    """A median with its spread."""

    name: str
    middle: float
    least: float
    most: float


def bars(title: str, unit: str, values: Sequence[Bar]) -> str:
    """A chart; names with "fmq" in them are ours."""
    scale = (_WIDTH - _LABELS - _VALUES) / max(bar.most for bar in values)
    height = _TOP + len(values) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"',
        f'  aria-label="{escape(title)}" font-family="sans-serif" font-size="13" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="24" font-size="15" font-weight="bold">{escape(title)} ({escape(unit)})</text>',
    ]
    for number, bar in enumerate(values):
        top = _TOP + number * (_BAR + _GAP)
        base = top + _BAR * 0.7
        middle, least, most = (_LABELS + scale * value for value in (bar.middle, bar.least, bar.most))
        colour = _OURS if "fmq" in bar.name else _THEIRS
        parts += [
            f'<text x="{_LABELS - 8}" y="{base:.1f}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{_LABELS}" y="{top}" width="{max(1.0, middle - _LABELS):.1f}" height="{_BAR}" fill="{colour}"/>',
            f'<path d="M{least:.1f} {top + _BAR / 2}H{most:.1f}M{least:.1f} {top + 6}v10M{most:.1f} {top + 6}v10"',
            '  stroke="#111827" fill="none"/>',
            f'<text x="{most + 8:.1f}" y="{base:.1f}">{bar.middle:,.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
