"""What is tried again, as people write it: `stage-in:5`, `75,100-110`.

Pure text to values; no I/O. What must not enter: what is tried again where nothing is said.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from longshore_common.errors import BadInput
from longshore_common.model import FINAL_CAUSES, Cause, TaskSpec

#: Attempts again after a cause that is named without a number.
USUAL: Final = 3
#: The causes that can be tried again.
CAUSES: Final = frozenset[str](get_args(Cause)) - FINAL_CAUSES
_SPAN: Final = re.compile(r"(\d+)(?:-(\d+))?")

Span = tuple[int, int]


def budgets(given: Mapping[str, int] | Iterable[str] | str) -> dict[str, int]:
    """`("stage-in:5", "oom")` -> {"stage-in": 5, "oom": 3}; `BadInput` for what is no cause."""
    if isinstance(given, Mapping):
        return {_cause(cause): count for cause, count in given.items()}
    found: dict[str, int] = {}
    for word in [given] if isinstance(given, str) else given:
        cause, colon, number = word.partition(":")
        if colon and not (number.isascii() and number.isdigit()):
            raise BadInput(f"{word!r} is no budget: write CAUSE:N, such as stage-in:5")
        found[_cause(cause)] = int(number) if colon else USUAL
    return found


def never(causes: Iterable[str]) -> dict[str, int]:
    """A budget of nothing for each of these causes."""
    return {_cause(cause): 0 for cause in causes}


def _cause(word: str) -> str:
    if word not in CAUSES:
        raise BadInput(f"{word!r} is no cause that is tried again: it is one of {', '.join(sorted(CAUSES))}")
    return word


def exits(given: str | Iterable[Any]) -> tuple[Span, ...]:
    """`"75,100-110"`, numbers or pairs of them as (first, last) exit codes."""
    pieces = given.split(",") if isinstance(given, str) else given
    return tuple(_span(piece) for piece in pieces)


def _span(piece: Any) -> Span:
    if isinstance(piece, str):
        found = _SPAN.fullmatch(piece.strip())
        piece = (int(found[1]), int(found[2] or found[1])) if found else ()
    if isinstance(piece, int):
        piece = (piece, piece)
    if not (isinstance(piece, Sequence) and len(piece) == 2 and 1 <= piece[0] <= piece[1] <= 255):
        raise BadInput("exit codes are 1 to 255, alone or as first-last: write them such as 75,100-110")
    return piece[0], piece[1]


def check(made: TaskSpec) -> None:
    """What a dispatcher would refuse is refused where it was typed."""
    budgets(made.retry_on)
    exits(made.retry_exits)
    exits(made.fail_exits)
    if made.retry_exits and not (made.retries or made.retry_on.get("exit")):
        raise BadInput("--retry-exit says which exit codes are tried again, but nothing is: add --retry N")
