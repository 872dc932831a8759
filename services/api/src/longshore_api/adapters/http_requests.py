"""The route that tells what became of a wish."""

import asyncio
from typing import Annotated, Final

from litestar import Router, get
from litestar.params import FromPath, QueryParameter

from longshore_api.adapters import present, views
from longshore_api.adapters.doors import House, TheHouse
from longshore_api.core import archive
from longshore_common import events as e
from longshore_common.errors import Unreachable

#: Events of one answer that are looked at: signals go to each worker in an event of their own, a refusal comes last.
_MOST: Final = 10_000

Cared = Annotated[bool, QueryParameter(description="Wait until all workers told have answered as well")]
Patience = Annotated[float, QueryParameter(ge=0, le=10, description="Seconds to wait for the answer")]


@get("/requests/{wish:int}", summary="What became of a wish: done, refused, or none yet", tags=["requests"])
async def answer(house: TheHouse, wish: FromPath[int], wait: Patience = 0.0, *, cared: Cared = False) -> views.Answer:
    """`wish` is the sequence at which the log has it. Without a dispatcher there is no answer: the wish waits for one."""
    return await became(house, wish, wait, cared=cared)


async def became(house: House, wish: int, wait: float, *, cared: bool = False) -> views.Answer:
    """What became of a wish, within so many seconds."""
    return await answered(house, wish, wait, cared=cared)


async def answered(house: House, wish: int, wait: float, *, cared: bool = False) -> views.Answer:
    """What became of it, after waiting for that at most so many seconds."""
    until = asyncio.get_running_loop().time() + wait
    while True:
        position = house.progress.position
        found = await _answer(house, wish)
        left = until - asyncio.get_running_loop().time()
        missing = cared and len({care.worker for care in found.cares}) < len(set(found.workers))
        if (found.answer != "none" and not missing) or left <= 0:
            return found if found.answer != "done" else await _whole(house, found, left)
        await house.progress.passed(max(position, wish) + 1, left)


async def _answer(house: House, wish: int) -> views.Answer:
    rows = await house.reader.history_of(archive.REQUEST, [str(wish)], _MOST, wish)
    told = [(row, event) for row in rows if isinstance(event := present.event(row), e.Event)]
    cares = [present.care(row, event) for row, event in told if isinstance(event, e.WorkerCared)]
    answers = [(row, event) for row, event in told if not isinstance(event, e.WorkerCared)]
    workers = [row["subject"].split(".")[2] for row, event in answers if isinstance(event, e.WorkerCareOrdered)]
    reasons = [event.reason for _, event in answers if isinstance(event, e.RequestRefused)]
    if not reasons and not any(not getattr(event, "more", False) for _, event in answers):
        return views.Answer(wish, "none")
    notes = [note for _, event in answers if (note := getattr(event, "note", ""))]  # what of it was not to be done
    return views.Answer(
        wish, "refused" if reasons else "done", "; ".join(reasons or notes) or None, rows[-1]["seq"], workers, cares
    )


async def _whole(house: House, found: views.Answer, patience: float) -> views.Answer:
    """What was not done of it is refused by a later event of the same turn, which may not be projected yet."""
    try:
        last = await house.last()
    except Unreachable:
        return found
    if last > found.seq and await house.progress.passed(last, max(patience, 0)):
        return await _answer(house, found.request)
    return found


router: Final = Router("/", route_handlers=[answer])
