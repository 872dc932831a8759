"""The NATS protocol from bytes to messages, for the one kind of line that comes by the thousand.

nats-py's parser tries eight regular expressions per line and awaits a coroutine per message; this one splits `MSG` and
`HMSG` lines and calls. All other lines go to nats-py's. What must not enter: what a message is for.
"""

from collections.abc import Callable

from nats.errors import ProtocolError
from nats.protocol.parser import Parser

#: Bytes without a line end after which a peer does not speak NATS (an INFO line of a large cluster has tens of KiB).
LONGEST_LINE = 1024 * 1024


class FastParser(Parser):
    """`deliver` is called with (sid, subject, reply, data, header block) for each message."""

    def __init__(self, client: object, deliver: Callable[[int, bytes, bytes, bytes, bytes], None]) -> None:
        self._deliver = deliver
        self._chunks: list[bytes] = []
        self._have = self._need = self._resets = 0
        super().__init__(client)

    def reset(self) -> None:
        """Forget a half message: a new connection begins."""
        super().reset()
        self._chunks, self._have, self._need = [], 0, 0
        self._resets += 1

    async def parse(self, data: bytes = b"") -> None:
        """Take in what the socket gave; a message that is not whole yet is kept as chunks, joined once."""
        self._chunks.append(data)
        self._have += len(data)
        if self._have >= self._need:
            buffer = b"".join(self._chunks) if len(self._chunks) > 1 else data
            await self._consume(buffer)

    async def _consume(self, buffer: bytes) -> None:
        used = need = 0
        resets = self._resets
        while (end := buffer.find(b"\r\n", used)) >= 0:
            if buffer[used] in b"MH":
                after = self._message(buffer, used, end)
                if after > len(buffer):
                    need = after - used
                    break
            else:
                after = end + 2
                await super().parse(buffer[used:after])
                if self._resets != resets:  # the line was an error that ended this connection
                    return
            used = after
        self._keep(buffer[used:], need)

    def _keep(self, rest: bytes, need: int) -> None:
        if not need and len(rest) > LONGEST_LINE:
            raise ProtocolError("no line end")
        self._chunks = [rest] if rest else []
        self._have, self._need = len(rest), need

    def _message(self, buffer: bytes, start: int, end: int) -> int:
        """Deliver the message whose control line is buffer[start:end] if all of it is there; where it ends."""
        fields = buffer[start:end].split()
        begin = end + 2
        try:
            if fields[0] == b"HMSG":
                body, after = begin + int(fields[-2]), begin + int(fields[-1]) + 2
                reply = fields[3] if len(fields) == 6 else b""
            else:
                body, after = begin, begin + int(fields[-1]) + 2
                reply = fields[3] if len(fields) == 5 else b""
            if after <= len(buffer):
                self._deliver(int(fields[2]), fields[1], reply, buffer[body : after - 2], buffer[begin:body])
        except (IndexError, ValueError) as err:
            raise ProtocolError(f"not a message: {fields!r}") from err
        return after
