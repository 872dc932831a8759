"""What the pages need beside the house: sessions, samples, the clock, and whom to ask why. What must not enter: routes."""

import asyncio
from typing import Final, NamedTuple

import msgspec

from longshore_api.adapters.heard import Heard
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.ui.samples import Samples
from longshore_api.adapters.ui.sessions import Sessions, key
from longshore_common import subjects
from longshore_common.clock import Clock
from longshore_common.damage import DAMAGED
from longshore_common.errors import LongshoreError
from longshore_common.log import Hints

#: Seconds a dispatcher may take to say why.
_PATIENCE: Final = 2.0


class Reason(msgspec.Struct):
    """Why, and what would help; `parts` divide the count."""

    text: str
    fix: str = ""
    count: int = 1
    parts: list["Reason"] = []


class Eta(msgspec.Struct):
    """In about how many seconds it starts or ends, and what that was computed from."""

    what: str
    seconds: float
    basis: str


class Why(msgspec.Struct):
    """What a dispatcher says of a thing; `trouble` if none did."""

    state: str = ""
    reasons: list[Reason] = []
    eta: Eta | None = None
    trouble: str = ""


_why: Final = msgspec.json.Decoder(Why).decode


class Desk(NamedTuple):
    """One for each process. `closing` is set when it ends, so that open streams do."""

    sessions: Sessions
    samples: Samples
    clock: Clock
    closing: asyncio.Event
    hints: Hints | None = None

    @classmethod
    def made(cls, seed: str, reader: Reader, heard: Heard, clock: Clock) -> "Desk":
        """`seed` is known to all replicas and nobody else; without one, sessions are of this process alone."""
        return cls(Sessions(key(seed)), Samples(reader, heard, clock), clock, asyncio.Event())

    async def why(self, kind: str, ident: str, user: str) -> Why:
        """Why a task, submission, batch or worker is as it is; never fails, because a page shows more than this."""
        if self.hints is None:
            return Why(trouble="this api asks no dispatcher")
        question = msgspec.json.encode({"id": ident, "kind": kind, "user": user})
        try:
            return _why(await self.hints.ask(subjects.ASK_DISPATCH, question, deadline=_PATIENCE))
        except LongshoreError:
            return Why(trouble="no dispatcher answers, so nothing is handed out: start one, and this page will say why")
        except DAMAGED as err:
            return Why(trouble=f"the dispatcher's answer cannot be read: {err}")
