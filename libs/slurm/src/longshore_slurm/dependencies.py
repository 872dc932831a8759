"""`--dependency` in our words. Pure: what a job's number means is asked through an argument.

A submission requires in one manner only; where several are named, all but the last become submissions in between that
do nothing and end when theirs is fulfilled.
"""

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

from longshore_common.errors import BadInput
from longshore_common.ids import TaskRange

Manner = Literal["ok", "any", "each"]
_MANNERS: Final[dict[str, Manner]] = {"afterok": "ok", "afterany": "any", "aftercorr": "each"}
_REASONS: Final = {
    "after": "jobs wait here for the end of others, not for their start: use afterany",
    "afternotok": "jobs cannot wait for a failure here: use afterany, and look at what came of it",
    "afterburstbuffer": "there are no burst buffers here: use afterany",
    "expand": "jobs do not grow here",
}


class Need(NamedTuple):
    """Tasks that must succeed, end, or succeed each before its counterpart."""

    manner: Manner
    tasks: tuple[TaskRange, ...]


def needs(
    text: str, ranges: Callable[[str], tuple[TaskRange, ...]], alike: Callable[[], tuple[TaskRange, ...]]
) -> list[Need]:
    """Each manner once, aftercorr last. `ranges`: tasks of a job's number; `alike`: those of the same name not over yet."""
    if "?" in text:
        raise BadInput(f"--dependency={text}: alternatives ('?') are not possible here: use commas, for all of them")
    found: dict[Manner, tuple[TaskRange, ...]] = {}
    for piece in filter(None, (word.strip() for word in text.split(","))):
        manner, tasks = _one(piece, ranges, alike)
        found[manner] = (*found.get(manner, ()), *tasks)
    order: tuple[Manner, ...] = ("any", "ok", "each")
    return [Need(manner, found[manner]) for manner in order if found.get(manner)]


def _one(
    piece: str, ranges: Callable[[str], tuple[TaskRange, ...]], alike: Callable[[], tuple[TaskRange, ...]]
) -> tuple[Manner, tuple[TaskRange, ...]]:
    kind, _, rest = piece.partition(":")
    kind = kind.lower()
    if kind == "singleton":
        return "any", alike()
    if kind in _REASONS:
        raise BadInput(f"--dependency={piece}: {_REASONS[kind]}")
    if kind not in _MANNERS or not rest:
        raise BadInput(
            f"Job dependency problem: {piece!r}: write such as afterok:1204, afterany:1204:1205 or singleton"
        )
    words = [word.partition("+")[0] for word in rest.split(":") if word]
    return _MANNERS[kind], tuple(one for word in words for one in ranges(word))
