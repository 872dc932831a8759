"""`longshore dir status|list|logs|get|cancel|retry|prune`: done, told, and the exit code.

What must not enter: which words there are (`dir`), how any of it is done (`longshore.dir`).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from longshore.cli.directories import Each, chosen, range_of, relative, tasks_of, with_shelf
from longshore.cli.door import Door
from longshore.cli.printing import agreed, command_line, data, note, raw_bytes, raw_lines, table
from longshore.dir import marker as markers
from longshore.dir.fetching import Got, get, last_left
from longshore.dir.marker import Home, Marker
from longshore.dir.places import Shelf
from longshore.dir.tending import Standing, described, prune, standings
from longshore.quantities import about, duration, shown_size
from longshore.records import Task
from longshore_common.clock import SystemClock
from longshore_common.errors import LongshoreError
from longshore_common.events import CancelRequested, RetryRequested
from longshore_common.ids import TaskRange
from longshore_data import parallel

#: Seconds for which a dispatcher is asked why.
_ASK: Final = 3.0
#: Directories at once.
_WIDTH: Final = 8


def stood(words: Sequence[str], many: str | None, *, as_json: bool) -> int:
    """Print how these stand; the exit code."""
    homes = chosen(words, many)
    each = Each(len(homes), as_json=as_json)
    door = Door()
    shown = list(tasks_of(each, homes, door))
    if as_json:
        raw_lines(msgspec.json.encode(described(one)) for one in shown)
    elif len(homes) == 1:
        for one in shown:
            data(one.known.state + _why(door, one.known))
    else:
        table(("task", "state", "directory", "reason"), (_row(one) for one in shown))
    return each.code


def _why(door: Door, task: Task) -> str:
    """Why it ended so, or what it waits for and how long it may take, as far as a dispatcher says."""
    if task.ended:
        return f": {task.reason}" if task.reason else ""
    try:
        said = door.write(lambda writer: writer.explain("task", task.id), deadline=_ASK)
    except LongshoreError:
        return ""
    text = "; ".join(reason.text for reason in said.reasons[:2])
    eta = f"; it {said.eta.what}s in about {about(said.eta.seconds)}" if said.eta else ""
    return f": {text}{eta}" if text or eta else ""


def _row(one: Standing) -> tuple[object, ...]:
    return one.marker.task, one.known.state, relative(one.home), one.known.reason


def listed(words: Sequence[str], *, as_json: bool) -> int:
    """Print all that were submitted below these; the exit code."""
    homes = [home for word in words for home in markers.below(word)]
    each = Each(len(homes), as_json=as_json)
    found: list[tuple[Home, Marker]] = []
    for home in homes:
        if (marker := each.try_(home, home.read)) is not None:
            found.append((home, marker))
    rows = standings(found, Door().reader)
    if as_json:
        raw_lines(msgspec.json.encode(described(one)) for one in rows)
    else:
        table(
            ("directory", "task", "state", "exit_code", "image", "command"),
            ((relative(o.home), o.marker.task or "-", _state(o), o.task and o.task.exit_code, o.marker.image,
              command_line(o.marker.command)) for o in rows),
        )  # fmt: skip
    return each.code


def _state(one: Standing) -> str:
    if not one.marker.task:
        return "cut off"
    return one.task.state if one.task else "unknown"


def logged(words: Sequence[str], many: str | None, stream: str, *, follow: bool) -> int:
    """Print what these wrote, one after the other; the exit code."""
    door, homes = Door(), chosen(words, many)
    each = Each(len(homes))

    def show(one: Standing) -> bool:
        raw_bytes(door.reader.logs(one.known.id, stream=stream, follow=follow))
        return True

    for one in tasks_of(each, homes, door):
        each.try_(one.home, lambda one=one: show(one))  # type: ignore[misc]
    return each.code


class Fetch(NamedTuple):
    """How to fetch."""

    wait: bool
    force: bool
    quiet: bool
    as_json: bool


def fetched(words: Sequence[str], many: str | None, how: Fetch) -> int:
    """Fetch what is new of these, each once its task has ended if that is waited for; the exit code."""
    homes, door = chosen(words, many), Door()
    each = Each(len(homes), as_json=how.as_json)
    ready = list(tasks_of(each, homes, door))
    if how.wait and any(not one.known.ended for one in ready):
        from longshore.cli.waits import wait_for

        wait_for(door, tuple(range_of(one.marker.task) for one in ready), timeout=None, quiet=how.quiet)
        ready = standings([(one.home, one.marker) for one in ready], door.reader)

    async def work(shelf: Shelf) -> None:
        async def fetch(one: Standing) -> None:
            with each.telling(one.home):
                with one.home.locked():
                    last = await asyncio.to_thread(last_left, one.known, door.reader)
                    got = await get(one.home, one.marker, shelf, last=last, force=how.force)
                _tell_got(each, one, got, quiet=how.quiet)

        await parallel.each(ready, fetch, _WIDTH)

    asyncio.run(with_shelf(work))
    return each.code


def _tell_got(each: Each, one: Standing, got: Got, *, quiet: bool) -> None:
    name, task = str(relative(one.home)), one.known
    for path in got.kept:
        note(f"{name}: {path} was changed here and is kept; --force fetches it")
    for text in got.failed:
        note(f"{name}: {text}")
    if got.failed or got.kept:
        each.fail(3 if got.retriable and not got.kept else 1)
    if not task.ended:
        each.tell(one.home, f"its task is {task.state}: what it leaves is there once it has ended", 1)
    if each.as_json:
        raw_lines([msgspec.json.encode({"directory": str(one.home), "state": task.state, **got._asdict()})])
    elif not quiet:
        note(f"{name}: {got.new} files fetched ({shown_size(got.bytes)}), {got.here} were here")
        if got.earlier:
            note(f"{name}: {got.earlier} files of earlier attempts, which the last one did not leave, stay in storage")


def cancelled(words: Sequence[str], many: str | None, *, kill: bool) -> int:
    """Cancel the tasks of these; the exit code."""
    return _wished(
        words, many, lambda state: state not in _ENDED, "has ended already",
        lambda tasks: CancelRequested(tasks=tasks, kill=kill),
    )  # fmt: skip


def retried(words: Sequence[str], many: str | None) -> int:
    """Have the tasks of these run again; the exit code."""
    return _wished(
        words, many, lambda state: state in ("failed", "cancelled"), "has not failed",
        lambda tasks: RetryRequested(tasks=tasks),
    )  # fmt: skip


_ENDED: Final = ("succeeded", "failed", "cancelled")


def _wished(
    words: Sequence[str], many: str | None, may: Callable[[str], bool], why_not: str,
    wish: Callable[[tuple[TaskRange, ...]], Any],
) -> int:  # fmt: skip
    """One wish for the tasks of all these that are in such a state; the others are told."""
    door, homes = Door(), chosen(words, many)
    each = Each(len(homes))
    tasks = []
    for one in tasks_of(each, homes, door):
        if may(one.known.state):
            tasks.append(one.marker.task)
        else:
            each.tell(one.home, f"its task {one.marker.task} is {one.known.state}: it {why_not}", 1)
    if tasks:
        door.wish(wish(tuple(map(range_of, tasks))))
        for task in tasks:
            data(task)
    return each.code


class Prune(NamedTuple):
    """What to remove, and how."""

    fetched_only: bool
    older_than: str | None
    force: bool
    yes: bool


def pruned(words: Sequence[str], many: str | None, how: Prune) -> int:
    """Remove what is stored for these; the exit code."""
    homes = chosen(words, many)
    each = Each(len(homes))
    found: list[tuple[Home, Marker]] = []
    for home in homes:
        if (marker := each.try_(home, home.read)) is not None:
            found.append((home, marker))
        elif not home.retired():
            each.tell(home, "it was not submitted", 1)
    door = Door()
    ready = _old(standings(found, door.reader), how.older_than) if found else []
    if not ready:
        note("there is nothing to remove")
        return each.code
    if not how.yes and not agreed(
        f"remove what is stored for {len(ready)} director{'y' if len(ready) == 1 else 'ies'}?"
    ):
        note("nothing was removed")
        return 1

    async def work(shelf: Shelf) -> None:
        async def remove(one: Standing) -> None:
            with each.telling(one.home):
                gone = await prune(one, shelf, fetched_only=door.reader if how.fetched_only else None, force=how.force)
                note(f"{relative(one.home)}: {gone} files removed from storage")

        await parallel.each(ready, remove, _WIDTH)

    asyncio.run(with_shelf(work))
    return each.code


def _old(found: list[Standing], older_than: str | None) -> list[Standing]:
    """Those whose task ended so long ago."""
    if older_than is None:
        return found
    since = SystemClock().now() - duration(older_than)
    return [o for o in found if o.task and o.task.ended_at is not None and o.task.ended_at.timestamp() < since]
