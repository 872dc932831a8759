"""Routes that go on: the log as it grows, how far submissions are, the output of a task. Server-sent events.

A reader that comes again with `Last-Event-ID` misses nothing. What must not enter: what events do.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final
from weakref import WeakKeyDictionary

import msgspec
from litestar import Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from longshore_api.adapters import told
from longshore_api.adapters.doors import House, TheHouse, TheVisitor
from longshore_api.adapters.feed import CutOff, Feed
from longshore_api.adapters.http_history import kinds_of
from longshore_api.adapters.http_tasks import Wanted, of_output, part_of
from longshore_api.adapters.output import Span
from longshore_api.adapters.present import when
from longshore_api.core import narrative, selection
from longshore_api.core.touching import Filters, Touched, kind_of, touched
from longshore_common import subjects
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable
from longshore_common.ids import split_task
from longshore_common.log import Hints, Recorded

#: Ranges and names that one event shows at most.
SHOWN: Final = 200
#: Events that are remembered as they were written: many readers read the same ones.
REMEMBERED: Final = 4_000
#: Seconds between two looks at an output, while it grows and when it does not.
SOON: Final = 0.1
LATER: Final = 1.0
_LOOK: Final = 64 * 1024

_encode: Final = msgspec.json.Encoder().encode
LastId = Annotated[str | None, HeaderParameter(name="Last-Event-ID", description="Go on behind this event")]


class Told(msgspec.Struct, omit_defaults=True):
    """An event of the log: a sentence, and what it is about; `more`: there are more tasks than are shown."""

    seq: int
    at: str
    author: str
    type: str
    text: str
    tasks: list[tuple[int, int, int]] = []
    batches: list[str] = []
    workers: list[str] = []
    request: int = 0
    more: bool = False


class Written:
    """What events are about and how they are written, for as long as they are fresh."""

    def __init__(self) -> None:
        self._about: OrderedDict[int, Touched] = OrderedDict()
        self._bytes: OrderedDict[int, bytes] = OrderedDict()

    def about(self, record: Recorded) -> Touched:
        """What it is about."""
        found = self._about.get(record.seq)
        if found is None:
            found = self._about[record.seq] = touched(record)
            if len(self._about) > REMEMBERED:
                self._about.popitem(last=False)
        return found

    def event(self, record: Recorded) -> bytes:
        """As an event of a stream."""
        found = self._bytes.get(record.seq)
        if found is None:
            found = self._bytes[record.seq] = told.event(_encode(self._told(record)), record.seq, kind_of(record))
            if len(self._bytes) > REMEMBERED:
                self._bytes.popitem(last=False)
        return found

    def _told(self, record: Recorded) -> Told:
        about, words = self.about(record), record.subject.split(".")
        who = record.author
        return Told(
            seq=record.seq,
            at=when(record.at) or "",
            author=f"{who.role} {who.name}" if who.name else who.role,
            type=kind_of(record),
            text=narrative.of_event(record.event, record.seq, words[2] if len(words) > 2 else ""),
            tasks=[(run.submission, run.lo, run.hi) for run in about.tasks[:SHOWN]],
            batches=list(about.batches[:SHOWN]),
            workers=list(about.workers[:SHOWN]),
            request=about.request,
            more=len(about.tasks) > SHOWN,
        )


_written: Final[WeakKeyDictionary[Feed, Written]] = WeakKeyDictionary()


async def filters(
    house: TheHouse,
    kinds: Annotated[str | None, QueryParameter(description="Kinds of events, separated by commas")] = None,
    batch: Annotated[str | None, QueryParameter(description="About this batch or its tasks")] = None,
    task: Annotated[str | None, QueryParameter(description="1204.17, 1204.0-99 or 1204, separated by commas")] = None,
    worker: Annotated[str | None, QueryParameter(description="About this worker or what it runs")] = None,
) -> Filters:
    """Which events are wanted; all that are given must hold."""
    made = Filters(frozenset(kinds_of(kinds)), batch, selection.windows(task) if task else None, worker)
    if batch is not None:
        made.submissions = await house.reader.submissions_of(batch)
    return made


@get("/events", summary="The log as it grows", tags=["events"], media_type="text/event-stream", opt={"endless": True})
async def events(
    house: TheHouse,
    visitor: TheVisitor,
    filters: NamedDependency[Filters],
    since: Annotated[int, QueryParameter(ge=-1, description="Behind this sequence; -1 = from now on")] = -1,
    last_event_id: LastId = None,
) -> Stream:
    """Server-sent events: `id` is the sequence, `event` the kind, `data` JSON: a sentence, tasks, batches, workers."""
    if house.feed is None:
        raise Refused("this api follows no log: it was started without one")
    after = since if last_event_id is None else _sequence(last_event_id)
    return told.stream(_following(house, house.feed, visitor, (after, filters)))


def _sequence(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise BadInput(
            f"Last-Event-ID: {text[:40]!r} is no sequence of the log: send back the id of an event, unchanged"
        )
    return int(text)


async def _following(house: House, feed: Feed, visitor: Any, what: tuple[int, Filters]) -> AsyncIterator[bytes]:
    after, chosen = what
    shown = _written.setdefault(feed, Written())
    may, loop = told.still(house, visitor), asyncio.get_running_loop()
    placed, written = -1, loop.time()
    yield f"retry: {told.RETRY}\n\n".encode()
    try:
        async with aclosing(feed.pieces(after, lambda record: chosen.admit(record, shown.about(record)))) as pieces:
            async for piece in pieces:
                now = loop.time()
                if not may():
                    return
                if piece.records:
                    yield b"".join(map(shown.event, piece.records))
                elif placed < 0 or now - written >= told.ALIVE or (piece.position > placed and now - written >= 1):
                    yield told.place(piece.position)
                else:
                    continue
                placed, written = piece.position, now
    except (CutOff, Unreachable):
        return  # it comes again with its last place


@get(
    "/progress", summary="How far one's own submissions are, as they go", tags=["submissions"],
    media_type="text/event-stream", opt={"endless": True},
)  # fmt: skip
async def progress(house: TheHouse, visitor: TheVisitor) -> Stream:
    """Server-sent events, of each change: JSON of submission, size, states, seq. Hints: what is missed is read instead."""
    if not visitor.user:
        raise Refused("this is for users, who are told of their own submissions: come with a user's secret")
    if house.hints is None:
        raise Refused("this api hears no hints: it was started without a connection")
    return told.stream(_hearing(house, house.hints, visitor))


async def _hearing(house: House, hints: Hints, visitor: Any) -> AsyncIterator[bytes]:
    yield b": listening\n\n"
    heard = _bodies(hints, subjects.done(visitor.user, ">"))
    quiet = 0
    async with aclosing(told.ticking(heard, told.still(house, visitor))) as chunks:  # type: ignore[type-var]
        async for chunk in chunks:
            if house.feed is not None and house.feed.closed:
                return
            quiet = 0 if chunk else quiet + 1
            if chunk or quiet % told.ALIVE == 0:
                yield chunk or b": alive\n\n"


async def _bodies(hints: Hints, subject: str) -> AsyncIterator[bytes]:
    async for _, body in hints.listen(subject):
        yield told.event(body)


@get(
    "/tasks/{task:str}/output/stream", summary="stdout or stderr as it is written", tags=["tasks"],
    media_type="text/event-stream", opt={"endless": True},
)  # fmt: skip
async def output(
    house: TheHouse, visitor: TheVisitor, task: FromPath[str], bytes_of: NamedDependency[Wanted],
    last_event_id: LastId = None,
) -> Stream:  # fmt: skip
    """Server-sent events: `id` is the offset behind it, `data` JSON of `offset` and `text`, or `base64` of what is no text.

    `end` when nothing will come any more.
    """
    submission, index = split_task(task)
    offset = bytes_of.span.offset if last_event_id is None else _sequence(last_event_id)
    wanted = bytes_of._replace(span=Span(offset, _LOOK))
    first = await part_of(house, submission, index, wanted)  # 404 and the like are told as such
    return told.stream(_reading(house, visitor, (submission, index), (wanted, first)))


async def _reading(house: House, visitor: Any, task: tuple[int, int], begin: Any) -> AsyncIterator[bytes]:
    may, loop = told.still(house, visitor), asyncio.get_running_loop()
    wanted, found = begin
    pause, written = SOON, loop.time()
    yield f"retry: {told.RETRY}\n\n".encode()
    while may() and not (house.feed is not None and house.feed.closed):
        offset = wanted.span.offset
        data = _whole(found.data, ended=found.ended)
        if data:
            wanted = wanted._replace(span=Span(offset + len(data), _LOOK))
            yield told.event(_shown(offset, data), offset + len(data))
            pause, written = SOON, loop.time()
        elif found.ended:
            yield told.event(_encode({"offset": offset}), offset, "end")
            return
        elif loop.time() - written >= told.ALIVE:
            yield told.place(offset)
            written = loop.time()
        if not (data and len(found.data) >= _LOOK):
            await asyncio.sleep(pause)
            pause = min(LATER, pause * 1.5)
        try:
            found = await part_of(house, *task, wanted)
        except LongshoreError:
            return  # it comes again, and is told then


def _whole(data: bytes, *, ended: bool) -> bytes:
    """Without a character at its end that is not all there yet."""
    if ended or not data:
        return data
    for back in range(1, min(4, len(data)) + 1):
        lead = data[-back]
        if lead & 0b1100_0000 == 0b1100_0000:
            need = 2 + (lead >= 0b1110_0000) + (lead >= 0b1111_0000)
            return data[:-back] if need > back else data
        if lead < 0b1000_0000:
            return data
    return data


def _shown(offset: int, data: bytes) -> bytes:
    try:
        return _encode({"offset": offset, "text": data.decode()})
    except UnicodeDecodeError:
        return _encode({"offset": offset, "base64": base64.b64encode(data).decode()})


router: Final = Router(
    "/",
    route_handlers=[events, progress, output],
    dependencies={"filters": Provide(filters), "bytes_of": Provide(of_output, sync_to_thread=False)},
)
