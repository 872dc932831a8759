"""Core messages on NATS: hints and questions, never stored.

What must not enter: anything whose loss would matter.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from longshore_common import logs
from longshore_common.adapters.nats_wire import Lost, NoResponders, Wire
from longshore_common.errors import Refused, Unreachable
from longshore_common.log import Answer

log = logs.get_logger()

#: Hints kept for a listener that does not come to take them; older ones go first.
KEPT: Final = 100_000


class NatsHints:
    """`Hints` on core NATS."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._answering: set[asyncio.Task[None]] = set()

    async def send(self, subject: str, body: bytes) -> None:
        """As `Hints.send`."""
        self._wire.post(subject, body)
        await self._wire.drained()

    async def listen(self, subject: str) -> AsyncIterator[tuple[str, bytes]]:
        """As `Hints.listen`; `Refused` if these credentials may not."""
        heard: deque[tuple[str, bytes]] = deque(maxlen=KEPT)
        failed: list[Refused] = []
        woken = asyncio.Event()

        def take(subject: bytes, _reply: bytes, data: bytes, _header: bytes) -> None:
            heard.append((subject.decode(errors="replace"), data))
            woken.set()

        def deny(refused: Refused) -> None:
            failed.append(refused)
            woken.set()

        subscribed = self._wire.watch(subject, take, denied=deny)
        self._wire.on_up.add(woken.set)
        try:
            while not self._wire.is_closed:
                while heard:
                    yield heard.popleft()
                if failed:
                    raise failed[0]
                woken.clear()
                if not heard:
                    await woken.wait()
        finally:
            self._wire.on_up.discard(woken.set)
            self._wire.unwatch(subscribed)

    async def ask(self, subject: str, body: bytes, *, deadline: float) -> bytes:
        """As `Hints.ask`; `Refused` if these credentials may not."""
        try:
            return (await self._wire.ask_within(subject, body, deadline)).data
        except NoResponders as err:
            raise Unreachable(f"nobody answers on {subject}: is the service running?") from err
        except Lost as err:
            raise Unreachable(f"the connection broke before {subject} answered: ask again") from err
        except TimeoutError as err:
            raise Unreachable(f"no answer on {subject} within {deadline:g} s: ask again") from err

    async def answer(self, subject: str, answer: Answer, *, shared: bool = False) -> None:
        """As `Hints.answer`. Only inboxes are answered: a reply subject elsewhere would have us write in our own name

        what the asker may not, for instance on the leader's subject of the log.
        """

        def take(_subject: bytes, reply: bytes, data: bytes, _header: bytes) -> None:
            if reply.startswith(b"_INBOX"):
                task = asyncio.get_running_loop().create_task(self._answer(answer, reply.decode(), data))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

        self._wire.watch(subject, take, queue=subject if shared else "")

    async def _answer(self, answer: Answer, reply: str, data: bytes) -> None:
        try:
            self._wire.post(reply, await answer(data))
        except Exception as err:  # the asker meets its deadline; we go on answering others
            log.warning("a question failed", reason=repr(err))
