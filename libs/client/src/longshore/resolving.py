"""What task words mean on this machine now: `last` from the bookmark, the size of a whole submission from the api."""

from collections.abc import Callable, Iterable

from longshore import selectors
from longshore.bookmark import Bookmark
from longshore_common.errors import NotFound
from longshore_common.ids import TaskRange


def resolved(words: str | Iterable[str], bookmark: Bookmark, size_of: Callable[[int], int]) -> tuple[TaskRange, ...]:
    """The ranges that selectors mean; `size_of` is asked only for a whole submission. `NotFound`: there is no `last`."""

    def last() -> selectors.Sized:
        if bookmark.submission is None:
            raise NotFound("nothing was submitted from here yet, so there is no `last`: name a task")
        return selectors.Sized(*bookmark.submission)

    return selectors.resolve(selectors.parse(words), last, size_of)
