"""The loop that keeps the read model at the head of the log: across restarts, bad events, rivals and a database that goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from longshore_api.adapters import projector
from longshore_api.adapters import store as stores
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.store import Store
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters.memory_log import Hub, MemoryTransport
from longshore_common.errors import Conflict, Unreachable
from longshore_common.ids import SubmissionId
from longshore_common.log import Entry
from longshore_common.model import Array, Parts, TaskSpec


class Still:
    """A clock that always shows the same."""

    def now(self) -> float:
        return 1000.0


@pytest.fixture
def hub() -> Hub:
    return Hub(Still())


def submission(key: str, **more: Any) -> e.TasksSubmitted:
    body = Array(spec=TaskSpec(command=("true",)), size=3)
    return e.TasksSubmitted(**({"key": key, "batch": "b", "body": body} | more))


async def append(hub: Hub, *events: e.Event, name: str = "ann") -> int:
    transport = hub.connect("user", "ann")
    entries = [Entry(event, name, f"{len(hub.records)}-{k}") for k, event in enumerate(events)]
    return await transport.log.append_all(entries)


@asynccontextmanager
async def running(url: str, transport: MemoryTransport) -> AsyncIterator[Progress]:
    """A projector at work."""
    progress = Progress()
    task = asyncio.create_task(projector.Projector(url, transport.log, progress).run())
    try:
        yield progress
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def one(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def eventually(holds: Callable[[], Any]) -> None:
    """Until it holds; each look gives way to the others."""
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.01)


async def test_a_reader_who_waits_for_a_sequence_is_woken_when_it_is_projected(database: str, hub: Hub) -> None:
    async with running(database, hub.connect()) as progress:
        waiting = asyncio.create_task(progress.passed(1))
        seq = await append(hub, submission("k"))
        assert await waiting
        assert progress.position == seq
        assert await one(database, "SELECT queued FROM submission") == 3


async def test_a_reader_who_waits_too_long_is_told() -> None:
    assert not await Progress().passed(5, patience=0.01)


async def test_a_restart_goes_on_where_the_last_commit_was(database: str, hub: Hub) -> None:
    await append(hub, submission("a"))
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(1)
    seq = await append(hub, submission("b"))
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(seq)
    assert await one(database, "SELECT count(*) FROM event") == 2


async def test_an_event_the_database_cannot_hold_is_passed_over_and_the_rest_goes_on(database: str, hub: Hub) -> None:
    huge = Array(spec=TaskSpec(command=("true",)), size=1 << 63)
    seq = await append(hub, submission("a"), submission("b", body=huge), submission("c"))
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(seq)
    assert await one(database, "SELECT array_agg(key ORDER BY id) FROM submission") == ["a", "c"]
    assert await one(database, "SELECT type FROM event WHERE seq = 2") == "unreadable"
    assert await one(database, "SELECT array_agg(seq) FROM event_about WHERE kind = 'passed-over'") == [2]
    assert await one(database, "SELECT count(*) FROM recount()") == 0


async def test_an_event_that_fails_once_is_tried_again_before_it_is_passed_over(database: str, hub: Hub) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "CREATE SEQUENCE tries; CREATE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF nextval('tries') = 1 THEN RAISE EXCEPTION 'odd' USING ERRCODE = '22003'; END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER odd BEFORE INSERT ON submission FOR EACH ROW EXECUTE FUNCTION fail_once()"
    )
    await connection.close()
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(await append(hub, submission("a")))
    assert await one(database, "SELECT array_agg(key) FROM submission") == ["a"]
    assert await one(database, "SELECT count(*) FROM event_about WHERE kind = 'passed-over'") == 0


async def test_bytes_that_are_no_event_are_archived_and_change_nothing(database: str, hub: Hub) -> None:
    hub.record(subjects.user("ann", "wish"), b'{"type":"no-such"}')
    seq = await append(hub, submission("a"))
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(seq)
    assert await one(database, "SELECT count(*) FROM event WHERE type = 'unreadable'") == 1


async def test_only_one_of_two_projectors_writes_and_the_other_takes_over(database: str, hub: Hub) -> None:
    first, second = running(database, hub.connect()), running(database, hub.connect())
    one_progress = await first.__aenter__()
    assert await one_progress.known()
    two_progress = await second.__aenter__()
    seq = await append(hub, submission("a"))
    assert await one_progress.passed(seq)
    assert await two_progress.passed(seq)
    await first.__aexit__(None, None, None)
    seq = await append(hub, submission("b"))
    assert await two_progress.passed(seq)
    await second.__aexit__(None, None, None)
    assert await one(database, "SELECT count(*) FROM submission") == 2


async def test_a_killed_connection_is_opened_again(database: str, hub: Hub) -> None:
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(await append(hub, submission("a")))
        kill = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'longshore-projector' AND datname = current_database()"
        )
        assert await one(database, kill)
        assert await progress.passed(await append(hub, submission("b")))
    assert await one(database, "SELECT count(*) FROM submission") == 2


async def test_rebuild_projects_the_whole_log_again(database: str, hub: Hub) -> None:
    async with running(database, hub.connect()) as progress:
        seq = await append(hub, submission("a"), submission("b"))
        assert await progress.passed(seq)
        await one(database, "UPDATE submission SET queued = 77")
        assert await one(database, "SELECT count(*) FROM recount()") > 0
        await stores.rebuild(database)

        async def rebuilt() -> bool:
            return bool(await one(database, "SELECT seq = 2 FROM position")) and progress.position == seq

        await eventually(rebuilt)
    assert await one(database, "SELECT count(*) FROM recount()") == 0
    assert await one(database, "SELECT sum(queued) FROM submission") == 6


async def test_a_projector_that_is_told_to_look_sees_at_once_that_it_begins_anew(
    database: str, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "LOOK", 3600.0)
    progress = Progress()
    told = projector.Projector(database, hub.connect().log, progress)
    running = asyncio.create_task(told.run())
    assert await progress.passed(await append(hub, submission("a")))
    await stores.rebuild(database)

    async def rebuilt() -> bool:
        told.look()
        return bool(await one(database, "SELECT seq = 1 FROM position"))

    await eventually(rebuilt)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_second_writer_is_fenced_by_the_position(database: str, book: Any, project: Any) -> None:
    book.submit(1)
    first, second = await Store.open(database), await Store.open(database)
    try:
        assert await first.claim()
        assert not await second.claim()
        mine, theirs = await first.load(), await second.load()
        await project(first, mine, book.records)
        with pytest.raises(Conflict, match="another projector"):
            await project(second, theirs, book.records)
    finally:
        await first.close()
        await second.close()


async def test_a_database_that_is_not_there_is_unreachable_with_the_fix() -> None:
    with pytest.raises(Unreachable, match="DATABASE_URL"):
        await Store.open("postgresql://test@/nothing?host=/nonexistent")


async def test_work_in_flight_is_in_memory_again_after_a_restart(database: str, book: Any, project: Any) -> None:
    array = book.submit(5)
    book.assign(array, 0, 1)
    book.end(array, 0)
    book.write(e.SubmissionPartSent(key="k", part=0, specs=(TaskSpec(command=("true",)),)))
    store = await Store.open(database)
    try:
        await project(store, await store.load(), book.records)
        memory = await store.load()
        assert list(memory.current) == [f"{array}.1.1"]
        assert memory.pending == {("ann", "k"): {0: (4, 1, False)}}
        start = len(book.records)
        book.end(array, 1)
        book.write(e.SubmissionAccepted(submission=SubmissionId(array), size=5))
        await project(store, memory, book.records[start:])
    finally:
        await store.close()
    assert await one(database, "SELECT succeeded FROM submission") == 2
    assert await one(database, "SELECT count(*) FROM recount()") == 0


async def test_a_submission_adopts_its_parts_without_writing_their_names_and_specs_again(
    database: str, book: Any, project: Any
) -> None:
    for part in range(2):
        specs = tuple(TaskSpec(command=("true",), name=f"n{part}-{k}") for k in range(300))
        book.write(e.SubmissionPartSent(key="k", part=part, specs=specs))
    store = await Store.open(database)
    written = (
        "SELECT array_agg(DISTINCT xmin::text) FROM (SELECT xmin FROM task_name UNION SELECT xmin FROM spec_part) x"
    )
    try:
        memory = await store.load()
        await project(store, memory, book.records)
        before = await one(database, written)
        book.write(e.TasksSubmitted(key="k", batch="b", body=Parts(parts=2, size=600)))
        await project(store, memory, book.records[-1:])
    finally:
        await store.close()
    assert await one(database, written) == before
    assert await one(database, "SELECT array_agg((submission, base) ORDER BY seq) FROM part") == [(3, 0), (3, 300)]


async def test_a_duplicate_leaves_none_of_its_parts(database: str, book: Any, project: Any) -> None:
    for _ in range(2):
        book.write(e.SubmissionPartSent(key="k", part=0, specs=(TaskSpec(command=("true",), name="n"),)))
        book.write(e.TasksSubmitted(key="k", batch="b", body=Parts(parts=1, size=1)))
    book.write(e.SubmissionDuplicated(submission=SubmissionId(4), first=SubmissionId(2)))
    store = await Store.open(database)
    try:
        await project(store, await store.load(), book.records)
    finally:
        await store.close()
    left = "SELECT array_agg(x) FROM (SELECT part_seq FROM task_name UNION ALL SELECT part_seq FROM spec_part) y (x)"
    assert await one(database, left) == [1, 1]
    assert await one(database, "SELECT count(*) FROM part") == 1


async def test_batches_under_load_are_cut_by_weight(database: str, hub: Hub) -> None:
    array = SubmissionId(await append(hub, submission("a", body=Array(spec=TaskSpec(command=("true",)), size=20_000))))
    spec = TaskSpec(command=("true",))
    for lo in range(0, 20_000, 2_000):
        starts = tuple(e.Start(i, 1) for i in range(lo, lo + 2_000))
        order = e.Order(submission=array, spec=spec, batch="b", user="ann", starts=starts)
        seq = await hub.connect().log.append(Entry(e.AttemptsAssigned(orders=(order,)), "w1", f"a{lo}"))
    async with running(database, hub.connect()) as progress:
        assert await progress.passed(seq)
    assert await one(database, "SELECT count(*) FROM task") == 20_000
    assert await one(database, "SELECT count(*) FROM recount()") == 0
