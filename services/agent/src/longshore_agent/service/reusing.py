"""Whether an attempt need not run: what it computes is named, the dispatcher asked, and the answer looked at.

What must not enter: copying (`transfers` does it in the phase in which it delivers), what counts as the same (`core.reuse`).
"""

import asyncio
from typing import Final

from msgspec import structs

from longshore_agent.core import reuse
from longshore_agent.core.attempt import Attempt, Published
from longshore_agent.core.ports import ContainerEngine, Stager, StagingError
from longshore_agent.service.desk import Desk
from longshore_common import inside, logs
from longshore_common.events import AttemptsReused, Reuse
from longshore_common.ids import AttemptId
from longshore_common.model import TaskSpec

log = logs.get_logger()
#: Seconds to wait for the dispatcher's answer; without one the attempt runs.
PATIENCE: Final = 30.0


class Reusing:
    """The questions of all attempts that wait for an answer."""

    def __init__(self, desk: Desk, stager: Stager, engine: ContainerEngine) -> None:
        self.desk, self.stager, self.engine = desk, stager, engine
        self._asked: dict[AttemptId, asyncio.Future[Reuse]] = {}

    def answer(self, event: AttemptsReused) -> None:
        """What the dispatcher knows; an answer that nobody waits for changes nothing."""
        for told in event.attempts:
            asked = self._asked.get(told.attempt)
            if asked is not None and not asked.done():
                asked.set_result(told)

    async def found(self, attempt: Attempt, spec: TaskSpec) -> Published | None:
        """Outputs that this attempt would only make again, seen to be there; None: run it. `spec` is located.

        `attempt.digest` names what it computes afterwards, if that can be named.
        """
        attempt.digest = await self._digest(attempt, spec)
        if not attempt.digest:
            log.info("not-cacheable", attempt=attempt.id)
            return None
        earlier = await self._ask(attempt)
        try:
            there = earlier is not None and await self.stager.reusable(earlier, spec.output or "")
        except StagingError as err:
            log.warning("not-reused", attempt=attempt.id, reason=err.reason)
            return None
        return earlier if there else None

    async def unchanged(self, attempt: Attempt, spec: TaskSpec) -> bool:
        """Whether its inputs are still what they were when it was named; what was fetched in between is that then."""
        return bool(attempt.digest) and await self._digest(attempt, spec) == attempt.digest

    async def _digest(self, attempt: Attempt, spec: TaskSpec) -> str:
        """Empty if something of it cannot be told; what is missing is for the staging to say."""
        try:
            steps = [structs.replace(spec, container=image) for image in inside.images(spec)]
            image = " ".join([await self.engine.digest(step) for step in steps])
            return reuse.digest(spec, attempt.start, image, await self.stager.contents(spec))
        except StagingError as err:
            log.info("not-identified", attempt=attempt.id, reason=err.reason)
            return ""

    async def _ask(self, attempt: Attempt) -> Published | None:
        asked = self._asked[attempt.id] = asyncio.get_running_loop().create_future()
        self.desk.attempts.pending.identified(attempt.id, attempt.digest)
        self.desk.wake_reports()
        try:
            async with asyncio.timeout(PATIENCE):
                told = await asked
        except TimeoutError:
            log.warning("no-answer-about-reuse", attempt=attempt.id, seconds=PATIENCE)
            return None
        finally:
            del self._asked[attempt.id]
        return Published(AttemptId(told.source), told.output) if told.source else None
