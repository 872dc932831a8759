"""Short words for the contract tests: events of each author, and taking from a reading with a deadline."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from longshore_common.events import AttemptsRecalled, AttemptsReported, LeaderElected, TasksSubmitted
from longshore_common.log import Entry, Recorded, Slice, Transport
from longshore_common.model import Array, TaskSpec


def submitted(event_id: str, *, user: str = "ann", command: tuple[str, ...] = ("true",)) -> Entry:
    body = Array(spec=TaskSpec(command=command), size=3)
    return Entry(TasksSubmitted(key=event_id, batch="b", body=body), user, event_id)


def recalled(event_id: str, worker: str = "w1") -> Entry:
    return Entry(AttemptsRecalled(attempts=("1.0.1",)), worker, event_id)


def reported(n: int, worker: str = "w1") -> Entry:
    return Entry(AttemptsReported(life=1, n=n), worker, f"{worker}-1-{n}")


def elected(name: str) -> Entry:
    return Entry(LeaderElected(dispatcher=name), "", f"lead-{name}")


async def take(slices: AsyncIterator[Slice], count: int, seconds: float = 20) -> list[Recorded]:
    """Exactly the first `count` records of a reading, which is then closed."""
    records: list[Recorded] = []
    async with asyncio.timeout(seconds), aclosing(slices):  # type: ignore[type-var]
        async for found in slices:
            records += found.records
            if len(records) >= count:
                break
    return records


async def everything(transport: Transport) -> list[Recorded]:
    """All the log holds now."""
    last = await transport.log.last()
    return await take(transport.log.follow(0), last) if last else []
