"""What an answer is made of: reasons, each with what would remove it, and when it will be over if that can be computed.

What must not enter: looks at the state.
"""

from typing import Final, Literal

from msgspec import Struct

#: How the fix of a reason begins that needs no hand.
NOTHING: Final = "nothing to do: "


class Reason(Struct, omit_defaults=True):
    """One reason, what would remove it, and how many tasks or workers it is about; `parts` divide that count.

    `fix` is never empty: where nobody needs to do anything it begins with `NOTHING` and says why.
    """

    text: str
    fix: str
    count: int = 1
    parts: list["Reason"] = []


class Eta(Struct):
    """In about how many `seconds` it will `start` or `end`, and the measured figures this was computed from."""

    what: Literal["start", "end"]
    seconds: float
    basis: str


class Answer(Struct, omit_defaults=True):
    """The state of the thing asked about, at least one reason, and an estimate where run times were measured.

    `counts`: of a submission or batch, its tasks per state.
    """

    id: str
    state: str
    reasons: list[Reason]
    eta: Eta | None = None
    counts: dict[str, int] = {}


def nothing(why: str) -> str:
    """The fix of what needs none, and why it needs none."""
    return NOTHING + why


def span(seconds: float) -> str:
    """`3.2 s`, `34 s`, `12 min`, `2.5 h`, `3 days`"""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.2g} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


def number(count: int, one: str, many: str = "") -> str:
    """`1 task`, `2 tasks`"""
    return f"{count} {one if count == 1 else many or one + 's'}"


def amount(value: float) -> str:
    """Bytes in the units in which they are asked for: `20 GiB`."""
    for unit, power in (("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if value >= 1 << power:
            return f"{value / (1 << power):.4g} {unit}"
    return f"{value:.0f} bytes"


def some(names: list[str], most: int = 3) -> str:
    """The first few names: `w1 w2 w3 …`"""
    return " ".join(names[:most]) + (" …" if len(names) > most else "")
