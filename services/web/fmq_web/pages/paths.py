"""SVG paths of stairs: one step a point, as wide as it lasts."""

from collections.abc import Callable, Sequence


def levels(most: float, height: int) -> Callable[[float], int]:
    """Scales 0 to ``most`` to 0 to ``height``. What is more than nothing is at least 1, so that it can be seen."""
    return lambda value: max(1, round(value / most * height)) if value > 0 and most > 0 else 0


def line(shape: Sequence[tuple[int, int]], step: int) -> str:
    """Stairs through points. ``step`` is how wide a point is; where one is missing there is a gap."""
    return "".join(f"M{run[0][0]} {run[0][1]}{_steps(run, step)}" for run in _runs(shape, step))


def area(shape: Sequence[tuple[int, int]], base: int, step: int) -> str:
    """Stairs that are filled down, or up, to ``base``. Empty where all is zero."""
    if all(y == base for _, y in shape):
        return ""
    return "".join(f"M{run[0][0]} {base}v{run[0][1] - base}{_steps(run, step)}V{base}z" for run in _runs(shape, step))


def _runs(shape: Sequence[tuple[int, int]], step: int) -> Sequence[Sequence[tuple[int, int]]]:
    """Splits points where a minute is missing."""
    runs: list[list[tuple[int, int]]] = []
    for x, y in shape:
        if runs and runs[-1][-1][0] + step >= x:
            runs[-1].append((x, y))
        else:
            runs.append([(x, y)])
    return runs


def _steps(run: Sequence[tuple[int, int]], step: int) -> str:
    """A line of stairs through a run, without its first move. Equal neighbours become one step."""
    out = ""
    width = 0
    for index, (x, y) in enumerate(run):
        after = run[index + 1] if index + 1 < len(run) else (x + step, y)
        width += after[0] - x
        if after[1] != y or index + 1 == len(run):
            out += f"h{width}" + (f"v{after[1] - y}" if after[1] != y else "")
            width = 0
    return out
