"""However the log is cut into batches, and whenever the projector restarts, the rows are the same and the counters true."""

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longshore_api.adapters.store import Store
from longshore_common import events as e
from longshore_common.ids import SubmissionId, TaskRange
from longshore_common.model import Change, Parts, Retention, Specs, TaskSpec

TABLES = ("submission", "task_range", "task", "attempt", "part", "spec_part", "task_name", "batch", "worker", "event",
          "event_range", "event_about", "edit")  # fmt: skip

#: A step of a story: which event, and numbers it chooses by.
step = st.tuples(st.integers(0, 24), st.integers(0, 3), st.integers(0, 5), st.integers(0, 5), st.integers(1, 3))


def write(book: Any, steps: list[tuple[int, int, int, int, int]]) -> None:
    """A log that is often plausible and sometimes absurd, as it would be with bugs and late messages everywhere."""
    subs: list[int] = []
    last: dict[tuple[int, int], tuple[int, str]] = {}
    for kind, which, lo, more, n in steps:
        sub = SubmissionId(subs[which % len(subs)] if subs else 1)
        worker, tasks = f"w{which}", (TaskRange(sub, lo, lo + more),)
        before, holder = last.get((sub, lo), (0, worker))
        if which < 3:  # plausible: the attempt that is meant exists, and its worker speaks
            n, worker, more = (before + 1, worker, 0) if kind in (5, 6) else (before, holder, more)
        match kind:
            case 0 | 1:
                subs.append(book.submit(max(lo, more) + 1, batch=f"b{n % 3}", held=which == 3, user=f"u{which}"))
            case 2:
                specs = tuple(TaskSpec(command=("x",), name="n" * (i % 2)) for i in range(lo + 1))
                body = Specs(specs=specs, edges=((0, 1),) * (more % 2))
                subs.append(book.write(e.TasksSubmitted(key="s", batch="b1", body=body), "u1"))
            case 3:
                specs = tuple(TaskSpec(command=("y",), name="m" * (i % 2)) for i in range(more))
                book.write(e.SubmissionPartSent(key=f"p{which}", part=lo, specs=specs, edges=((0, 1),)), "u1")
            case 4:
                body = Parts(parts=1, size=lo + 1, edges=n - 1)
                subs.append(book.write(e.TasksSubmitted(key=f"p{which}", batch="b2", body=body), "u1"))
            case 5 | 6:
                book.assign(sub, *range(lo, lo + more + 1), n=n, worker=worker)
                last.update({(sub, i): (n, worker) for i in range(lo, lo + more + 1)})
            case 7 | 8:
                book.end(sub, *range(lo, lo + more + 1), n=n, worker=worker)
            case 9:
                book.end(sub, lo, n=n, worker=worker, outcome="failed", cause="exit", exit_code=more)
            case 10:
                far = {"done": more, "total": 5} if more > 2 else {}
                book.move(sub, lo, lo + 1, n=n, worker=worker, state=("staging", "running", "delivering")[n % 3], **far)
            case 11:
                book.requeue(sub, *range(lo, lo + more + 1), n=n, cause="host")
            case _:
                rare(book, kind, worker, tasks, n)


def rare(book: Any, kind: int, worker: str, tasks: tuple[TaskRange, ...], n: int) -> None:
    sub, lo = tasks[0].submission, tasks[0].lo
    match kind:
        case 12:
            book.write(e.TasksFailed(tasks=tasks, cause="exit", reason="r" * n))
        case 13:
            book.write(e.TasksCancelled(tasks=tasks))
        case 14:
            book.write(e.TasksRetried(tasks=tasks, waiting=tasks if n == 2 else ()))
        case 15:
            if n == 1:
                book.join(worker, life=n, held=(f"{sub}.{lo}.1",), handled=len(book.records))
            else:
                book.write(e.WorkerLost(reason="silent"), worker)
        case 16:
            book.write(
                (
                    e.SubmissionAccepted(submission=sub, size=1),
                    e.SubmissionRejected(submission=sub, reason="no"),
                    e.SubmissionDuplicated(submission=sub, first=SubmissionId(1)),
                )[n % 3]
            )
        case 17:
            several = (*tasks, TaskRange(sub, lo + 5, lo + 5), TaskRange(SubmissionId(sub + 1), 0, lo))
            book.write(e.RequirementsMet(submissions=(sub,)) if n == 1 else e.RequirementsMet(tasks=several))
        case 22:
            book.write(e.TasksHeld(tasks=tasks))
        case 23:
            change = Change(set={"cpus": n})
            book.write(e.TasksEdited(tasks=tasks, change=change, undoes=max(0, n - 2) * lo, restored=n == 3))
        case 24:
            book.write(e.TasksDeleted(tasks=tasks, restored=n == 3, user="" if n == 2 else f"u{lo % 4}"))
        case _:
            host(book, kind, worker, lo, n)


def host(book: Any, kind: int, worker: str, lo: int, n: int) -> None:
    match kind:
        case 21:
            book.write(e.WorkerMoved(batch=f"b{n}"), worker)
        case 18:
            says = (
                e.WorkerHindered(life=n, reason="full" * (lo % 2)),
                e.WorkerEvicted(life=n, at=7.0),
                e.ResourcesHeld(life=n, held=tuple("abc"[:lo])),
                e.WorkerCared(life=n, care="clean", request=lo, freed=lo),
                e.SweepDone(life=n, order=lo),
            )
            book.write(says[lo % len(says)], worker)
        case 19:
            told = (
                e.WorkerPaused(drain=n > 1, reason="r"),
                e.WorkerResumed(),
                e.WorkerCareOrdered(care="clean", request=lo),
                e.RemotesGiven(box="b"),
            )
            book.write(told[lo % len(told)], worker)
        case _:
            book.write(e.BatchRetentionSet(batch=f"b{n % 3}", retention=Retention(outputs=lo)))


async def emptied(url: str) -> None:
    """Deleting a few rows is quicker than truncating many tables."""
    connection = await asyncpg.connect(url)
    try:
        for table in TABLES:
            await connection.execute(f"DELETE FROM {table}")
        await connection.execute("UPDATE position SET seq = 0, at = 0")
    finally:
        await connection.close()


async def projected(url: str, records: list[Any], cuts: list[int], project: Any) -> dict[str, list[Any]]:
    """All tables after projecting in batches of these sizes; a negative size restarts the projector first."""
    await emptied(url)
    store = await Store.open(url)
    try:
        memory, at, k = await store.load(), 0, 0
        while at < len(records):
            cut = cuts[k % len(cuts)]
            if cut < 0:
                memory = await store.load()
            await project(store, memory, records[at : at + abs(cut)])
            at, k = at + abs(cut), k + 1
    finally:
        await store.close()
    connection = await asyncpg.connect(url)
    try:
        assert await connection.fetch("SELECT * FROM recount()") == []
        tables = {}
        for table in TABLES:
            tables[table] = sorted((tuple(r) for r in await connection.fetch(f"SELECT * FROM {table}")), key=repr)
        return tables
    finally:
        await connection.close()


@pytest.mark.slow
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    steps=st.lists(step, min_size=1, max_size=40),
    cuts=st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=6),
)
def test_rows_do_not_depend_on_the_batches_nor_on_restarts(
    two_databases: tuple[str, str], new_book: Any, project: Any, steps: Any, cuts: list[int]
) -> None:
    book = new_book()
    write(book, steps)

    async def compare() -> None:
        one_by_one = await projected(two_databases[0], book.records, [-1], project)
        in_batches = await projected(two_databases[1], book.records, cuts, project)
        assert one_by_one == in_batches

    asyncio.run(compare())


@pytest.mark.parametrize("cuts", [[1], [-3], [1000]])
def test_a_long_story_in_one_batch_is_the_same(
    two_databases: tuple[str, str], book: Any, project: Any, cuts: list[int]
) -> None:
    steps = [(k * 8 % 21, k % 4, k * 3 % 6, k * 5 % 6, k % 3 + 1) for k in range(400)]
    write(book, steps)

    async def compare() -> None:
        assert await projected(two_databases[0], book.records, [7], project) == await projected(
            two_databases[1], book.records, cuts, project
        )

    asyncio.run(compare())
