"""Which directories are meant, and what is told of each that something is wrong with.

What must not enter: what is done to them.
"""

import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any, TypeVar

from longshore.cli.door import Door
from longshore.cli.printing import note
from longshore.dir import marker as markers
from longshore.dir.marker import Home, said
from longshore.dir.places import Shelf
from longshore.dir.tending import Standing, standings
from longshore_common.errors import BadInput, LongshoreError
from longshore_common.ids import TaskRange, split_task

R = TypeVar("R")


class Each:
    """Tells of each directory that something is wrong with, and keeps the exit code of all."""

    def __init__(self, among: int, *, as_json: bool = False) -> None:
        self._among, self.as_json, self.code = among, as_json, 0

    def fail(self, code: int) -> None:
        """The exit code of one alone; of several 3 if all that failed may pass, else 1."""
        if self.code in (0, 3):
            self.code = code if self._among == 1 or code == 3 else 1

    def tell(self, home: Home, text: str, code: int) -> None:
        """Something is wrong with this one."""
        note(f"{relative(home)}: {text}")
        self.fail(code)

    def try_(self, home: Home, work: Callable[[], R]) -> R | None:
        """What `work` gives; None after telling why not."""
        try:
            return work()
        except LongshoreError as err:
            self.tell(home, said(err), err.exit_code)
            return None

    def telling(self, home: Home) -> "Telling":
        """For work on one directory whose failure stops no other."""
        return Telling(self, home)


class Telling:
    """Turns an error about one directory into a line and an exit code."""

    def __init__(self, each: Each, home: Home) -> None:
        self._each, self._home = each, home

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> bool:
        if not isinstance(err, LongshoreError):
            return False
        retriable = getattr(err, "retriable", False)
        self._each.tell(self._home, said(err), 3 if retriable else err.exit_code)
        return True


def tasks_of(each: Each, homes: Iterable[Home], door: Door) -> Iterator[Standing]:
    """Those of these that are tasks; of the others it is told why not."""
    known = [(home, marker) for home in homes if (marker := each.try_(home, home.known)) is not None]
    for one in standings(known, door.reader):
        if each.try_(one.home, lambda one=one: one.known) is not None:  # type: ignore[misc]
            yield one


def chosen(words: Sequence[str], many: str | None) -> list[Home]:
    """The directories that were named, else the one at or above this."""
    found = named(words, many)
    return [Home(word) for word in found] if found else [markers.find(".")]


def named(words: Sequence[str], many: str | None) -> list[str]:
    """Directories that were named, each once, in order; of a file's lines also those that are none, so that it is told."""
    found = list(words)
    if many is not None:
        found += _of(many)
    return list(dict.fromkeys(os.path.normpath(word) for word in found))


def _of(many: str) -> list[str]:
    if many == "-" or Path(many).is_file():
        try:
            text = sys.stdin.read() if many == "-" else Path(many).read_text()
        except (OSError, UnicodeDecodeError) as err:
            raise BadInput(f"{many} cannot be read: {err}") from err
        found = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        found = sorted(path for path in glob(many, recursive=True) if os.path.isdir(path))
    if not found:
        raise BadInput(f"{many!r} names no directory: quote the pattern, and see that it is right from {os.getcwd()}")
    return found


def range_of(task: str) -> TaskRange:
    """A task's id as a range."""
    submission, index = split_task(task)
    return TaskRange(submission, index, index)


def relative(home: Home) -> str:
    """A directory as one would type it here."""
    path = os.path.relpath(home.path)
    return str(home) if path.startswith("../..") else path


async def with_shelf(work: Callable[[Shelf], Coroutine[Any, Any, R]]) -> R:
    """Do this with storage as this user has it configured."""
    from longshore.dir.desk import shelf  # most commands open none

    async with shelf() as open_shelf:
        return await work(open_shelf)
