"""The SDK for asyncio: submit, wait, look, steer. `longshore.Client` is the same for everyone else.

Writes are events into the log and return once they are on disk there; reads come from the api and show what this user
wrote before. What must not enter: decisions about tasks, the log's internals.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, Unpack

from longshore import records
from longshore.bookmark import Bookmark, home
from longshore.chance import new_key
from longshore.choosing import settled
from longshore.confiding import Confiding
from longshore.governing import Governing
from longshore.logins import renewed
from longshore.people import People
from longshore.quantities import array as parse_array
from longshore.reader import Reader, TaskFilters
from longshore.resolving import resolved
from longshore.showing import Rows
from longshore.specs import SpecOptions, batch_name, spec, tied_of
from longshore.specs import key as key_of
from longshore.steering import Steering, Tasks
from longshore.waiting import Waiter, Watch
from longshore.writer import Writer
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.errors import BadInput
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.log import Transport
from longshore_common.profile import Profile, load, state_dir

if TYPE_CHECKING:
    from longshore.dir.desk import Directories

DEFAULT_BATCH: Final = "default"
#: Looks into the read model, two seconds apart, after which an unchanged end counts as the end after a retry.
_PATIENCE: Final = 5


class SubmitOptions(SpecOptions, total=False):
    """How a submission is scheduled, on top of how its tasks run.

    `requires`: tasks that must succeed first (`requires_any_outcome`: must end; `requires_each`: task k needs the k-th of
    each range). `on_failed_requirement`: "fail" with it, or "wait" for its retry. `max_running`: at once on workers.
    `hold`: not before a retry. `key`: idempotency key, drawn if not given. `spool`: keep on this disk if the log is away.
    """

    batch: str
    priority: int
    requires: Tasks
    requires_any_outcome: bool
    requires_each: bool
    on_failed_requirement: Literal["fail", "wait"]
    max_running: int
    hold: bool
    key: str | None
    spool: bool
    title: str | None


_SCHEDULING: Final = frozenset(SubmitOptions.__annotations__) - frozenset(SpecOptions.__annotations__)


class AsyncClient(Steering):
    """One user's door to one stack; use it as `async with`. Opens connections when first needed.

    `directory`: the stack's state directory (default: `LONGSHORE_STATE_DIR`, else where `longshore up` puts it). With `spool`
    all that is written is on this disk first: while the log is away wishes return 0 and submissions `spooled` receipts,
    and both are sent once it is back, in order, by this client or a later one.
    """

    def __init__(  # noqa: PLR0913 -- each has a default
        self,
        directory: str | Path | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        profile: Profile | None = None,
        transport: Transport | None = None,
        deadline: float = 10,
        spool: bool = False,
    ) -> None:
        environ = os.environ if environ is None else environ
        where = Path(directory) if directory is not None else state_dir(environ)
        self.profile = settled(profile or renewed(where, load(where)), environ)
        self.bookmark = Bookmark(home(where, environ))
        self.reader = Reader(self.profile, self.bookmark)
        self.writer = Writer(self.profile, self.bookmark, transport=transport, deadline=deadline, spooling=spool)
        self._waiter: Waiter | None = None
        self.governing = Governing(self.reader, self.writer)
        self.confiding = Confiding(self.reader, self.writer, self.profile.user)
        self.people = People(self.reader)

    @property
    def directories(self) -> "Directories":
        """Directories that are tasks."""
        from longshore.dir.desk import Directories  # storage is opened by few

        return Directories(self.writer, self.reader)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let all connections go; submitted tasks go on."""
        if self._waiter is not None:
            await self._waiter.close()
        self.reader.close()
        await self.writer.close()

    # --- submitting -------------------------------------------------------------------------------------------------

    async def submit(self, command: Sequence[str] | str, **options: Unpack[SubmitOptions]) -> records.Submitted:
        """Submit one task; returns when the log has it on disk. A command given as one string is run by the shell."""
        return await self.submit_array(command, 1, **options)

    async def submit_array(
        self, command: Sequence[str] | str, array: int | str | Sequence[str], **options: Unpack[SubmitOptions]
    ) -> records.Submitted:
        """One task per index of `0-999[:step][%limit]`, per number below an int, or per entry of a list."""
        scheduling, running = _parted(options)
        body, limit = _array(spec(command, **running), array)
        if limit:
            scheduling["max_running"] = limit
        event = await self._wish(body, scheduling)
        return await self.writer.submit(event, spool=bool(scheduling.get("spool")))

    async def submit_many(
        self, tasks: Iterable[m.TaskSpec | Mapping[str, Any]], **options: Unpack[SubmitOptions]
    ) -> records.Submitted:
        """Different tasks as one submission, streamed in bounded memory: all are in, or none. Options are defaults.

        A task is a `TaskSpec` or a mapping of its fields, such as {"command": ["sort", "a"], "memory": "4G"}; with an
        `id` others may name it in their `requires`, beside ordinals (see `longshore.Graph`).
        """
        scheduling, defaults = _parted(options)
        wish = await self._wish(m.Parts(parts=0, size=0), scheduling)
        made = (one if isinstance(one, m.TaskSpec) else tied_of(one, defaults) for one in tasks)
        return await self.writer.submit_parts(wish, made)

    async def flush(self) -> int:
        """Send what the local spool holds; how many went. `Unreachable` keeps the rest for later."""
        return len(await self.writer.flush())

    @property
    def spooled(self) -> int:
        """How many writes wait on this disk."""
        return len(self.writer.spool) if self.writer.spool is not None else 0

    async def _wish(self, body: m.Body, scheduling: dict[str, Any]) -> e.TasksSubmitted:
        requires = scheduling.get("requires")
        return e.TasksSubmitted(
            key=key_of(scheduling["key"]) if scheduling.get("key") is not None else new_key(),
            batch=batch_name(scheduling.get("batch") or DEFAULT_BATCH),
            body=body,
            name=scheduling.get("title"),
            priority=scheduling.get("priority", 0),
            requires=await self.ranges(requires) if requires else (),
            requires_any_outcome=scheduling.get("requires_any_outcome", False),
            each_requires=scheduling.get("requires_each", False),
            on_failed_requirement=scheduling.get("on_failed_requirement", "fail"),
            max_running=scheduling.get("max_running", 0),
            held=scheduling.get("hold", False),
        )

    async def ranges(self, tasks: Tasks) -> tuple[TaskRange, ...]:
        """The ranges these words, ranges, receipts and records mean."""
        if isinstance(tasks, str | TaskRange | records.Submitted | records.Task):
            return await self._ranges_of(tasks)
        return tuple([r for one in tasks for r in await self._ranges_of(one)])

    async def _ranges_of(self, one: str | TaskRange | records.Submitted | records.Task) -> tuple[TaskRange, ...]:
        match one:
            case TaskRange():
                return (one,)
            case records.Submitted():
                return (TaskRange(SubmissionId(await self.writer.id_of(one, wait=False)), 0, one.size - 1),)
            case records.Task():
                return (TaskRange(SubmissionId(one.submission), one.index, one.index),)
            case str():
                return await asyncio.to_thread(resolved, one, self.bookmark, self.reader.size_of)

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def listen(self) -> Waiter:
        """Start to hear of progress; call it before submitting what you wait for, to lose no millisecond."""
        if self._waiter is None:
            await self.writer.transport()
            self._waiter = Waiter(self.writer.progress(), self.reader)
        await self._waiter.start()
        return self._waiter

    async def wait(
        self,
        submission: records.Submitted | int,
        *,
        timeout: float | None = None,
        watch: Watch | None = None,
        projected: bool = False,
    ) -> records.Progress:
        """Wait until all its tasks ended; never raises because tasks failed, see `ok` and `states` of the result.

        `watch` is called at every change. `projected`: return only when reads show the end too. A duplicate is waited
        for under its first id. `TimeoutError` after `timeout` seconds, with nothing changed.
        """
        async with asyncio.timeout(timeout):
            number = await self._number(submission)
            waiter = await self.listen()
            end = await waiter.finished(number, projected=projected, watch=watch)
            if end.status == "duplicate":
                first = (await asyncio.to_thread(self.reader.submission, number)).duplicate_of
                end = await waiter.finished(first or number, projected=projected, watch=watch)
        return end

    async def join(
        self, *submissions: records.Submitted | int, retry: int = 0, timeout: float | None = None
    ) -> Rows[records.Progress]:
        """Wait for several; what failed is retried up to `retry` times before it counts."""
        async with asyncio.timeout(timeout):
            return Rows(await asyncio.gather(*(self._join_one(one, retry) for one in submissions)))

    async def _join_one(self, submission: records.Submitted | int, retry: int) -> records.Progress:
        end = await self.wait(submission)
        while retry > 0 and end.failed and end.status not in ("rejected", "duplicate"):
            retry -= 1
            whole = TaskRange(SubmissionId(end.submission), 0, end.size - 1)
            asked = await self.retry(whole)
            end = await self._wait_again(end, asked)
        return end

    async def _wait_again(self, before: records.Progress, asked: int) -> records.Progress:
        """The end that came after the retry at sequence `asked`; the end before it is old news."""
        waiter = await self.listen()
        unchanged = 0
        async for now in waiter.changes(before.submission, since=asked):
            unchanged += now.seq == 0 and now.states == before.states
            if now.finished and (now.seq > asked or now.states != before.states or unchanged >= _PATIENCE):
                return now
        return before

    async def as_completed(self, submission: records.Submitted | int) -> AsyncIterator[records.Task]:
        """The tasks of a submission as they end, each once, until all have ended."""
        number = await self._number(submission)
        waiter = await self.listen()
        seen: set[str] = set()
        async for now in waiter.changes(number):
            if now.done <= len(seen) or (not now.finished and now.done - len(seen) < len(seen) // 20):
                continue  # a listing costs as much as it lists: look again when a twentieth more is there
            self.bookmark.saw(now.seq)
            for state in ("succeeded", "failed", "cancelled"):
                async for task in self.tasks(submission=number, state=state):
                    if task.id not in seen:
                        seen.add(task.id)
                        yield task

    async def _number(self, submission: records.Submitted | int) -> int:
        return submission if isinstance(submission, int) else await self.writer.id_of(submission)

    # --- looking ----------------------------------------------------------------------------------------------------

    async def tasks(self, *, limit: int | None = None, **filters: Unpack[TaskFilters]) -> AsyncIterator[records.Task]:
        """Tasks, newest submission first, page by page; `Rows` of it is a list that notebooks show as a table."""
        found = self.reader.tasks(limit=limit, **filters)
        while run := await asyncio.to_thread(_some, found):
            for task in run:
                yield task

    async def task(self, task: str) -> records.Task:
        """One task; `NotFound` if there is none."""
        return await asyncio.to_thread(self.reader.task, task)

    async def attempts(self, task: str) -> Rows[records.Attempt]:
        """Its attempts, the first one first."""
        return Rows(await asyncio.to_thread(self.reader.attempts, task))

    async def submission(self, submission: records.Submitted | int) -> records.Submission:
        """A submission with its counts."""
        return await asyncio.to_thread(self.reader.submission, await self._number(submission))

    async def batches(self) -> Rows[records.Batch]:
        """All batches."""
        return await asyncio.to_thread(lambda: Rows(self.reader.batches()))

    async def batch(self, name: str) -> records.Batch:
        """One batch."""
        return await asyncio.to_thread(self.reader.batch, name)

    async def workers(self) -> Rows[records.Worker]:
        """All workers."""
        return await asyncio.to_thread(lambda: Rows(self.reader.workers()))

    async def worker(self, name: str) -> records.Worker:
        """One worker."""
        return await asyncio.to_thread(self.reader.worker, name)

    async def metrics(self, worker: str, since: str | None = None) -> records.Metrics:
        """What a worker's host does now, and by the minute since an instant (ISO 8601; default: all, a week at most)."""
        return await asyncio.to_thread(self.reader.metrics, worker, since)

    async def logs(
        self, task: str, *, stream: str = "stdout", attempt: int | None = None, offset: int = 0, follow: bool = False
    ) -> AsyncIterator[bytes]:
        """The bytes of stdout or stderr from `offset`; with `follow` until the attempt ended."""
        found = self.reader.logs(task, stream=stream, attempt=attempt, offset=offset, follow=follow)
        while (data := await asyncio.to_thread(next, found, None)) is not None:
            yield data

    async def history(self, name: str, *, kind: str = "tasks") -> Rows[records.HistoryEntry]:
        """What happened to it, oldest first; `kind` is tasks, batches or workers."""
        return Rows(await asyncio.to_thread(self.reader.history, kind, name))

    async def explain(self, name: str, *, kind: str = "task") -> records.Explanation:
        """Why a task, submission, batch or worker (`kind`) is as it is, and what to do."""
        return await self.writer.explain(kind, name)


def _parted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(how it is scheduled, how its tasks run)"""
    scheduling = {key: value for key, value in options.items() if key in _SCHEDULING}
    return scheduling, {key: value for key, value in options.items() if key not in _SCHEDULING}


def _array(one: m.TaskSpec, array: int | str | Sequence[str]) -> tuple[m.Array, int]:
    """The body, and the most that may run at once (0 = no limit)."""
    if isinstance(array, int):
        array = f"0-{array - 1}" if array != 1 else "0"
    if isinstance(array, str):
        found = parse_array(array)
        return m.Array(spec=one, size=found.size, start=found.start, step=found.step), found.limit
    if not array:
        raise BadInput("the list of entries is empty, so there are no tasks")
    return m.Array(spec=one, size=len(array), entries=tuple(array)), 0


def _some(found: Any) -> list[records.Task]:
    """The next few hundred, so that a thread is not changed for each."""
    run = []
    for task in found:
        run.append(task)
        if len(run) == 500:
            break
    return run
