"""Which relative paths a pattern means, as shells and .gitignore files have taught: `*` stops at slashes, `**` does not.

A pattern without a slash is matched against the name alone, at any depth: `*.bam` means `a/b/x.bam` too; with one, against
the whole path: `/*.bam` means what is in no folder, `a/**/x` an x at any depth below a, `a/` all below a. `{a,b}` are
alternatives, `[ab]` and `[!ab]` one character, and names that begin with a dot are names like others. Time is linear in
pattern and path, because strangers write patterns. What must not enter: disks.
"""

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from functools import lru_cache
from typing import Final

from longshore_common.errors import BadInput

_MOST_ALTERNATIVES: Final = 256
_Segment = Callable[[str], object] | None


def check(pattern: str) -> None:
    """`BadInput` if the pattern stands for too many others."""
    _compiled(pattern)


def matches(pattern: str, path: str) -> bool:
    """Whether this relative path is one of those the pattern means."""
    parts = path.split("/")
    return any(_fits(segments, parts) for segments in _compiled(pattern))


@lru_cache(256)
def _compiled(pattern: str) -> tuple[tuple[_Segment, ...], ...]:
    """Each alternative as what its segments must match; None: any number of folders."""
    compiled = []
    for text in filter(None, alternatives(pattern)):
        if "/" not in text:
            text = f"**/{text}"
        if text.endswith("/"):
            text += "**"
        segments = [s for s in text.split("/") if s]
        compiled.append(tuple(None if s == "**" else re.compile(translate(s)).match for s in segments))
    return tuple(compiled)


def _fits(segments: Sequence[_Segment], parts: Sequence[str]) -> bool:
    """By the positions at which a path may stand after each segment: no backtracking, so no pattern takes for ever."""
    here = {0}
    for number, segment in enumerate(segments):
        if segment is None:
            least = min(here) + (number == len(segments) - 1)
            here = set(range(least, len(parts) + 1))
        else:
            here = {at + 1 for at in here if at < len(parts) and segment(parts[at])}
        if not here:
            return False
    return len(parts) in here


def alternatives(pattern: str) -> list[str]:
    """`a{b,c}` -> ab, ac; nested ones too. Braces without a comma, or without an end, are themselves."""
    todo, done = [pattern], []
    while todo:
        text = todo.pop()
        if (found := _braces(text)) is None:
            done.append(text)
        else:
            before, inside, after = found
            todo += [f"{before}{choice}{after}" for choice in inside]
        if len(todo) + len(done) > _MOST_ALTERNATIVES:
            raise BadInput(f"the pattern {pattern!r} stands for more than {_MOST_ALTERNATIVES} others: write * instead")
    return done


def _braces(text: str) -> tuple[str, list[str], str] | None:
    """The first innermost {a,b}: what is before it, its choices, what is after it."""
    for found in re.finditer(r"\{([^{}]*)\}", text):
        if "," in found.group(1):
            return text[: found.start()], found.group(1).split(","), text[found.end() :]
    return None
