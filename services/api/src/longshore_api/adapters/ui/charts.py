"""Lines and areas as SVG paths, drawn here so that a page needs no script to show them. What must not enter: HTML."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

#: The drawing board; it is stretched to the room there is.
WIDTH, HEIGHT = 600, 120
#: Points of a line at most; more are put together.
_MOST: Final = 240
#: Seconds of a chart at least.
_SHORTEST: Final = 300.0

Point = tuple[float, float | None]


class Line(NamedTuple):
    """A drawn series: its paths and what one would say of it."""

    name: str
    stroke: str
    area: str
    latest: float | None
    mean: float | None
    most: float | None


class Chart(NamedTuple):
    """Lines over one span of time with one scale: instants are Unix seconds, `top` the largest value shown."""

    lines: list[Line]
    begin: float
    end: float
    top: float

    @property
    def empty(self) -> bool:
        """Whether there is nothing to be seen."""
        return all(line.latest is None for line in self.lines)


def nice(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next((step * power for step in (1, 2, 2.5, 5) if step * power >= value), 10 * power)


def zoomed(series: Iterable[Sequence[Point]], begin: float, end: float) -> float:
    """Where a chart begins: with what is known, if that is later than what was asked for, and not too short before its end."""
    first = min((points[0][0] for points in series if points), default=begin)
    return max(begin, min(first, end - _SHORTEST))


def thinned(points: Sequence[Point], begin: float, end: float, most: int = _MOST) -> list[Point]:
    """At most so many points: those of one stretch of time become their mean; a stretch of gaps stays one."""
    if len(points) <= most:
        return list(points)
    width = (end - begin) / most or 1.0
    boxes: dict[int, list[Point]] = {}
    for at, value in points:
        boxes.setdefault(int((at - begin) / width), []).append((at, value))
    found: list[Point] = []
    for box in boxes.values():
        values = [value for _, value in box if value is not None]
        found.append((box[len(box) // 2][0], sum(values) / len(values) if values else None))
    return found


def chart(
    series: Mapping[str, Sequence[Point]], begin: float, end: float, *, top: float = 0.0, gap: float = 150.0
) -> Chart:
    """Draw these; where two points are further apart than `gap` seconds (and the usual distance) the line is broken."""
    begin = zoomed(series.values(), begin, end)
    thin = {name: thinned(points, begin, end) for name, points in series.items()}
    values = [value for points in thin.values() for _, value in points if value is not None]
    scale = top or nice(max(values, default=0.0))
    gap = max(gap, 3 * (end - begin) / _MOST)
    return Chart([_line(name, points, (begin, end, scale), gap) for name, points in thin.items()], begin, end, scale)


def _line(name: str, points: list[Point], frame: tuple[float, float, float], gap: float) -> Line:
    begin, end, top = frame
    strokes, areas, run = [], [], list[tuple[float, float]]()
    before: float | None = None
    for at, value in [*points, (end, None)]:
        if run and (value is None or (before is not None and at - before > gap)):
            strokes.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _visible(run)))
            areas.append(f"{strokes[-1]}L{run[-1][0]:.1f} {HEIGHT}L{run[0][0]:.1f} {HEIGHT}Z")
            run = []
        if value is not None and at >= begin:
            x = WIDTH * (at - begin) / (end - begin or 1.0)
            run.append((x, HEIGHT - (HEIGHT - 2) * min(value, top) / (top or 1.0)))
        before = at
    known = [value for _, value in points if value is not None]
    mean = sum(known) / len(known) if known else None
    return Line(name, "".join(strokes), "".join(areas), known[-1] if known else None, mean, max(known, default=None))


def _visible(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A single point would not be seen."""
    return run if len(run) > 1 else [run[0], (run[0][0] + 1.5, run[0][1])]


def spark(values: Sequence[float], top: float) -> str:
    """The path of a small line, 60 by 16."""
    if len(values) < 2:
        return ""
    step = 60 / (len(values) - 1)
    return "M" + "L".join(f"{k * step:.1f} {16 - 15 * min(v, top) / (top or 1):.1f}" for k, v in enumerate(values))
