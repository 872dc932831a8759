"""What containers read from stdin: a file of this host, sent by the engine's own stream.

What was sent before the agent ended cannot be known afterwards, so a note beside the file says when all of it was. What must
not enter: where the file comes from.
"""

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from longshore_agent.adapters.containers.connection import REQUEST
from longshore_agent.core.ports import ContainerError, ContainerOrder
from longshore_common.ids import AttemptId

if TYPE_CHECKING:
    from aiodocker.stream import Stream

_PIECE: Final = 1 << 18
_log = structlog.get_logger()


class Feeds:
    """The containers that are being fed."""

    def __init__(self) -> None:
        self._tasks: dict[AttemptId, asyncio.Task[None]] = {}

    def fed(self, order: ContainerOrder) -> bool:
        """Whether its container has got all of its stdin, or gets it from us just now."""
        return order.attempt in self._tasks or os.path.exists(order.stdin_note)

    async def begin(self, container: Any, order: ContainerOrder) -> None:
        """Connect to a container that was made and not started; what it reads is sent meanwhile. `ContainerError` (launch)."""
        if not order.stdin:
            return
        try:
            fd = os.open(order.stdin, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as err:
            why = f"its stdin cannot be read ({err.strerror}): name a file that a mount or an earlier step puts there"
            raise ContainerError("launch", why) from err
        stream = container.attach(stdin=True)
        try:
            async with asyncio.timeout(REQUEST):
                await stream._init()  # connected before it starts, or it might read an end at once
            # what was written is with the engine when `write_in` returns, so it survives us
            stream._resp.connection.transport.set_write_buffer_limits(0)
        except BaseException:
            os.close(fd)
            raise
        work = _send(stream, fd, order)
        self._tasks[order.attempt] = asyncio.create_task(work, name=f"stdin of {order.attempt}")

    async def end(self, attempt: AttemptId) -> None:
        """Its container is gone."""
        if task := self._tasks.pop(attempt, None):
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """Stop feeding: containers that have not got all of their stdin are lost to the next life."""
        for attempt in list(self._tasks):
            await self.end(attempt)


async def _send(stream: "Stream", fd: int, order: ContainerOrder) -> None:
    try:
        while data := await asyncio.to_thread(os.read, fd, _PIECE):
            await stream.write_in(data)
        with suppress(OSError):
            os.close(os.open(order.stdin_note, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except (OSError, RuntimeError) as err:
        _log.info("stdin-not-read-to-its-end", attempt=order.attempt, reason=str(err))
    finally:
        os.close(fd)
        await stream.close()
