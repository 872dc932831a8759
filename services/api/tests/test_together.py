"""Tasks asked for at the same time: few statements, each asker its own answer, and nobody's impatience is another's."""

import asyncio
from typing import Any

import pytest

from longshore_api.adapters.together import AT_ONCE, Together
from longshore_common.errors import Unreachable


class Database:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: list[list[tuple[int, int]]] = []
        self.gate = asyncio.Event()
        self.fault: Exception | None = None

    async def fetch(self, _: str, submissions: Any, indices: Any) -> list[dict[str, int]]:
        places = list(zip(submissions, indices, strict=True))
        self.asked.append(places)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return [{"submission": s, "index": k} for s, k in places if k < 100]


async def test_what_is_asked_meanwhile_goes_with_the_next_statement() -> None:
    database = Database()
    together = Together(database.fetch)
    askers = [asyncio.create_task(together.find(1, k)) for k in range(AT_ONCE + 50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    database.gate.set()
    rows = await asyncio.gather(*askers)
    assert [row["index"] for row in rows] == list(range(AT_ONCE + 50))
    assert len(database.asked) <= AT_ONCE + 1


async def test_several_who_ask_for_the_same_task_get_it_and_who_asks_for_none_gets_none() -> None:
    database = Database()
    database.gate.set()
    together = Together(database.fetch)
    same = await asyncio.gather(
        *(together.find(1, 5) for _ in range(3)), together.find(1, 500), together.find(1 << 70, 0)
    )
    assert [row and row["index"] for row in same] == [5, 5, 5, None, None]


async def test_one_that_gives_up_takes_nothing_from_the_others() -> None:
    database = Database()
    together = Together(database.fetch)
    first, second = asyncio.create_task(together.find(1, 5)), asyncio.create_task(together.find(1, 5))
    await asyncio.sleep(0)
    first.cancel()
    database.gate.set()
    assert (await second)["index"] == 5


async def test_a_failure_is_told_to_all_who_waited_and_to_nobody_after() -> None:
    database = Database()
    database.gate.set()
    together = Together(database.fetch)
    database.fault = Unreachable("away")
    for found in await asyncio.gather(*(together.find(1, k) for k in range(3)), return_exceptions=True):
        assert isinstance(found, Unreachable)
    database.fault = None
    assert (await together.find(1, 7))["index"] == 7
    with pytest.raises(TypeError):
        await together.find("1", 7)  # type: ignore[arg-type]
