"""What a list was asked for: filters and page, read from a query in which nothing is as good as not there.

What must not enter: SQL, HTML.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlencode

from longshore_api.core import selection

_ID: Final = re.compile(r"[\d.,\s-]*\d[\d.,\s-]*")
#: What the filter of tasks is made of, in the order in which a query has it.
TASKS: Final = ("state", "batch", "q", "worker", "user", "submission", "at")


class Query(NamedTuple):
    """The words of a query that say something."""

    path: str
    words: dict[str, str]

    @classmethod
    def of(cls, path: str, given: Mapping[str, Any], names: tuple[str, ...]) -> "Query":
        """Of these names only, and without empty ones."""
        return cls(path, {n: str(given[n]).strip() for n in names if str(given.get(n) or "").strip()})

    @classmethod
    def read(cls, text: str, names: tuple[str, ...]) -> "Query":
        """As it was written."""
        return cls.of("", dict(parse_qsl(text)), names)

    def __call__(self, **changes: str | None) -> str:
        """The address with these changes; None takes a word away."""
        words = {n: v for n, v in (self.words | changes).items() if v}
        return f"{self.path}?{urlencode(words)}" if words else self.path

    @property
    def written(self) -> str:
        """The query alone."""
        return urlencode(self.words)

    def get(self, name: str) -> str:
        """A word, "" if nothing was said."""
        return self.words.get(name, "")


def chosen(query: Query) -> selection.Selection:
    """Which tasks; what looks like ids is one, anything else a name. `BadInput` names what is wrong."""
    words = query.words
    text, submission = words.get("q"), words.get("submission", "")
    by_id = text is not None and _ID.fullmatch(text) is not None
    windows = selection.windows(re.sub(r"\s+", ",", text)) if by_id and text else None
    return selection.Selection(
        batch=words.get("batch"),
        name=None if by_id else text,
        worker=words.get("worker"),
        user=words.get("user"),
        submission=int(submission) if submission.isdigit() and len(submission) < 19 else None,
        states=selection.states(words.get("state", "")),
        windows=windows,
    )
