"""What `longshore data` does: plans, shows, moves and sums up.

What must not enter: which words there are (`data`), how bytes move (`longshore_data`).
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from longshore.cli.printing import agreed, data, note, raw_lines, table
from longshore.quantities import size as bytes_of
from longshore_common.errors import BadInput, Unreachable
from longshore_data import uri
from longshore_data.configuration import own_remotes
from longshore_data.copying import Copying, Selection, Step
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import Found, StoreError
from longshore_data.transfer import Transfer
from longshore_data.uri import Location, Source

R = TypeVar("R")
#: Seconds between two pictures of the progress.
_REDRAW: Final = 0.25
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


class Way(NamedTuple):
    """How to go: files at once, bytes a second at most (a size), rclone's configuration file, and whether to be silent."""

    transfers: int = 16
    bandwidth: str = "0"
    config: str | None = None
    quiet: bool = False


class Ask:
    """What was asked beside the places."""

    def __init__(self, include: list[str] | None = None, exclude: list[str] | None = None, **flags: bool) -> None:
        self.selection = Selection(tuple(include or ()), tuple(exclude or ()))
        self.flags = flags

    def __getattr__(self, name: str) -> bool:
        return self.flags.get(name, False)


def copied(way: Way, ends: Sequence[str], ask: Ask) -> int:
    """Copy all but the last to the last; the exit code."""
    target = _target(ends[-1], folder=len(ends) > 2)
    sources = [_source(word) for word in ends[:-1]]

    async def work(copying: Copying) -> int:
        with tempfile.TemporaryDirectory(prefix="longshore-") as scratch:
            steps: list[Step] = []
            made: dict[str, Source] = {}
            for k, source in enumerate(sources):
                place = source.place
                if source.actions or source.options:
                    place = await _made(copying, source, f"{scratch}/{k}", dry_run=ask.dry_run)
                    made[f"{place}"] = source
                steps += await copying.plan_copy(place, target, ask.selection)
            return await _carried_out(copying, way, steps, ask, made)

    return _run(way, work)


def synced(way: Way, ends: tuple[str, str], ask: Ask) -> int:
    """Make the second folder like the first; the exit code."""
    source, target = _folder(ends[0]), _folder(ends[1])

    async def work(copying: Copying) -> int:
        steps, extra = await copying.plan_sync(source, target, ask.selection, by_content=ask.by_content)
        code = await _carried_out(copying, way, steps, ask)
        if ask.delete and extra and not code:
            await _removed(copying, way, target, extra, ask)
        return code

    return _run(way, work)


def listed(way: Way, word: str, ask: Ask, *, as_json: bool) -> int:
    """Print what is there; the exit code."""
    place = _place(word)

    async def work(copying: Copying) -> list[Found]:
        return await copying.files(place, ask.selection)

    found = _run(way, work)
    if not ask.recursive:
        found = list(_level(found))
    if as_json:
        raw_lines(msgspec.json.encode(_record(f)) for f in found)
    else:
        table(("size", "modified", "name"), ((f.size, _time(f.modified), f.path) for f in found))
    return 0


def deleted(way: Way, words: Sequence[str], ask: Ask) -> int:
    """Remove; the exit code."""
    places = [_place(word) for word in words]

    async def work(copying: Copying) -> int:
        for place in places:
            found = [f.path for f in await copying.files(place, ask.selection)]
            folder = place if place.folder else _parent(place)
            if not found:
                raise StoreError(f"{place}: there is nothing to delete: correct the name", missing=True)
            if not (ask.yes or ask.dry_run or agreed(f"delete {_files(len(found))} below {folder}?")):
                note("nothing was deleted")
                return 1
            await _removed(copying, way, folder, found, ask)
        return 0

    return _run(way, work)


def measured(way: Way, words: Sequence[str], *, as_json: bool) -> int:
    """Print how much is below each place; the exit code."""
    places = [_place(word) for word in words]

    async def work(copying: Copying) -> list[list[Found]]:
        return [await copying.files(place) for place in places]

    rows = [
        {"place": str(place), "files": len(found), "bytes": sum(max(0, f.size) for f in found)}
        for place, found in zip(places, _run(way, work), strict=True)
    ]
    if as_json:
        raw_lines(map(msgspec.json.encode, rows))
    else:
        table(
            ("bytes", "files", "size", "place"),
            ((r["bytes"], r["files"], _human(r["bytes"]), r["place"]) for r in rows),
        )
    return 0


# --- doing ---


def _run(way: Way, work: Callable[[Copying], Coroutine[Any, Any, R]]) -> R:
    async def doing() -> R:
        storage = Storage(os.environ, own_remotes(os.environ, way.config))
        limit = bytes_of(way.bandwidth)
        try:
            return await work(Copying(storage, Limits(way.transfers, down=limit, up=limit)))
        finally:
            await storage.close()

    try:
        return asyncio.run(doing())
    except StoreError as err:
        raise Unreachable(f"{err} (a retry may help)") if err.retriable else err from None


async def _made(copying: Copying, source: Source, directory: str, *, dry_run: bool) -> Location:
    """What a source with actions or options gives, in a directory of this host."""
    if dry_run:
        raise BadInput(f"{source}: what its actions give is not known before they are done: leave out --dry-run")
    os.mkdir(directory)
    await Transfer(copying.storage, copying.limits).bring([source], directory)
    return Location("file", "", directory, folder=True)


def _shown(place: Location, made: Mapping[str, Source]) -> str:
    """The place; of what a source's actions made, that source and the path they gave."""
    for folder, source in made.items():
        if str(place).startswith(folder):
            return f"{source} {str(place)[len(folder) :]}"
    return str(place)


async def _carried_out(
    copying: Copying, way: Way, steps: list[Step], ask: Ask, made: Mapping[str, Source] = MappingProxyType({})
) -> int:
    """Do the steps, or only say them; the exit code."""
    if ask.dry_run:
        for step in steps:
            data(f"would copy {step.source} to {step.target}")
        return 0
    meter = Meter(copying.limits.down)
    shown = (lambda step: None) if way.quiet else (lambda step: data(f"{_shown(step.source, made)} -> {step.target}"))
    async with _progress(meter, len(steps), quiet=way.quiet):
        failures = await copying.do(steps, meter, shown, verify=ask.by_content)
    for failure in failures:
        note(f"{failure.error}{' (a retry may help)' if failure.error.retriable else ''}")
    if not way.quiet:
        note(f"{len(steps) - len(failures)} of {_files(len(steps))} copied, {_human(meter.done)}")
    return 1 if failures else 0


async def _removed(copying: Copying, way: Way, folder: Location, paths: list[str], ask: Ask) -> None:
    if ask.dry_run:
        for path in paths:
            data(f"would delete {folder.below(path)}")
        return
    await copying.remove(folder, paths)
    if not way.quiet:
        note(f"{_files(len(paths))} deleted below {folder}")


@asynccontextmanager
async def _progress(meter: Meter, files: int, *, quiet: bool) -> AsyncIterator[None]:
    """A bar on a terminal while the work goes on."""
    if quiet or not files or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("", total=None)

        async def draw() -> None:
            while True:
                bar.update(task, completed=meter.done, total=meter.total or None)
                bar.refresh()
                await asyncio.sleep(_REDRAW)

        drawing = asyncio.ensure_future(draw())
        try:
            yield
        finally:
            drawing.cancel()
            await asyncio.wait([drawing])


# --- words ---


def _source(word: str) -> Source:
    return uri.source(_spelled(word))


def _place(word: str) -> Location:
    found = uri.source(_spelled(word))
    if found.actions:
        raise BadInput(f"{word!r}: actions have a meaning only for the sources of a copy")
    return found.place


def _folder(word: str) -> Location:
    place = _place(word)
    return place if place.folder else place._replace(folder=True)


def _target(word: str, *, folder: bool) -> Location:
    place = uri.parse(_spelled(word))
    if folder and not place.folder:
        raise BadInput(f"the target {word!r} must be a folder here: end it in /")
    return place


def _spelled(word: str) -> str:
    """A path of this computer as a URI; it is a folder if it ends in / or is one."""
    path, bar, actions = word.partition("|") if not os.path.lexists(word) else (word, "", "")
    if "://" in path:
        return word
    slash = "/" if path.endswith("/") or os.path.isdir(path) else ""
    return f"file://{os.path.abspath(path).rstrip('/')}{slash}{bar}{actions}"


def _parent(place: Location) -> Location:
    return place._replace(key=place.key[: -len(place.name)].rstrip("/") or "", folder=True)


def _level(found: Iterable[Found]) -> Iterable[Found]:
    """What stands directly in the folder: files, and folders with the sums of what is below them."""
    folders: dict[str, Found] = {}
    for one in found:
        name, slash, _ = one.path.partition("/")
        if not slash:
            yield one
            continue
        old = folders.get(name, Found(f"{name}/", 0))
        folders[name] = Found(old.path, old.size + max(0, one.size), modified=max(old.modified, one.modified))
    yield from folders.values()


def _record(found: Found) -> dict[str, object]:
    return {"path": found.path, "size": found.size, "modified": _time(found.modified) or None, "md5": found.md5 or None}


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""


def _human(size: object) -> str:
    number = float(size) if isinstance(size, int) else 0.0
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"
