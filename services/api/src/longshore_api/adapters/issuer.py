"""Enrolment: whoever shows the join secret becomes a worker, with credentials for its own subjects only.

A name belongs to a key. The same key asking again gets the same worker. Another key gets the name only if it comes from
the same host and the worker of that name is silent (a host set up anew); otherwise it becomes <name>-2, <name>-3 and so
on. What must not enter: private keys of workers; they never leave their hosts.
"""

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from longshore_api.adapters.heard import Heard
from longshore_api.adapters.progress import Progress
from longshore_api.adapters.reader import Reader
from longshore_api.adapters.views import Credentials, Enrolment
from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.errors import BadInput, NotFound, Refused, Unreachable
from longshore_common.events import WorkerEnrolled
from longshore_common.ids import WorkerId
from longshore_common.log import Entry, Log

#: Seconds without a beat after which a name may go to a new key of the same host.
SILENT: Final = 15.0
_USER_KEY: Final = re.compile(r"U[A-Z2-7]{55}")
_LONGEST: Final = 56  # leaves room for a suffix in a token of 63
_TRIES: Final = 10_000
#: Seconds an enrolment waits for the read model: a host that comes up with the stack need not ask twice.
PATIENCE: Final = 4.0

EnsureWorker = Callable[[str], Awaitable[None]]


class Secrets(NamedTuple):
    """What the issuer knows: the account's signing seed, its public key, the join secret, and where workers connect."""

    signing_seed: str
    account: str
    join: str
    nats_url: str


class Issuer:
    """The only one who signs credentials of workers."""

    def __init__(self, secrets: Secrets, log: Log, ensure: EnsureWorker, reads: "Names") -> None:
        self._secrets = secrets
        self._log = log
        self._ensure = ensure
        self._names = reads
        self._one_at_a_time = asyncio.Lock()

    def admits(self, secret: str) -> bool:
        """Whether this is the join secret of the file; takes the same time however much of it is right."""
        return bool(self._secrets.join) and hmac.compare_digest(secret.encode(), self._secrets.join.encode())

    async def enrol(self, wish: Enrolment) -> Credentials:
        """A worker for this key. `BadInput` for a key that is none; `Unreachable` when log or database are away: repeat."""
        if not _USER_KEY.fullmatch(wish.public_key):
            raise BadInput("public_key is not the public key of an nkey user: it begins with U and has 56 characters")
        async with self._one_at_a_time:
            name = await self._names.free(token(wish.name or wish.hostname), wish.public_key, wish.hostname)
            jwt = nats_keys.user_jwt(
                self._secrets.signing_seed,
                self._secrets.account,
                nats_keys.Holder(f"worker {name}", wish.public_key),
                subjects.permissions("worker", name),
            )
            await self._ensure(name)
            event = WorkerEnrolled(worker=WorkerId(name), public_key=wish.public_key, hostname=wish.hostname[:255])
            seq = await self._log.append(Entry(event, "api", f"enrolled-{name}-{wish.public_key}"))
            self._names.given(name, wish, seq)
        return Credentials(name, jwt, self._secrets.nats_url)


class Names:
    """Which names are taken: what the read model knows, and what this process gave away since."""

    def __init__(self, reader: Reader, progress: Progress, heard: Heard) -> None:
        self._reader = reader
        self._progress = progress
        self._heard = heard
        self._given: dict[str, tuple[str, str]] = {}
        self._last = 0

    def given(self, name: str, wish: Enrolment, seq: int) -> None:
        """The name was given to this key by the event at `seq`."""
        self._given[name] = (wish.public_key, wish.hostname)
        self._last = max(self._last, seq)

    async def free(self, wanted: str, public_key: str, hostname: str) -> str:
        """The wanted name, or the first of <wanted>-2, -3 … that this key may have."""
        if not (await self._progress.known(PATIENCE) and await self._progress.passed(self._last, PATIENCE)):
            raise Unreachable("the read model does not answer yet: enrol again in a moment")
        for n in range(1, _TRIES):
            name = wanted if n == 1 else f"{wanted}-{n}"
            holder = self._given.get(name) or await self._holder(name)
            if holder is None or not holder[0] or holder[0] == public_key:
                return name
            if holder[1] == hostname and not self._heard.alive(name, SILENT):
                return name
        raise Refused(f"{_TRIES} workers are called {wanted}: choose another name")

    async def _holder(self, name: str) -> tuple[str, str] | None:
        try:
            row = await self._reader.worker(name)
        except NotFound:
            return None
        return row["public_key"], row["hostname"]


def token(name: str) -> str:
    """A name as a subject's token: lower case, odd characters as '-'; `BadInput` if nothing is left."""
    tidy = re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")[:_LONGEST].rstrip("-_")
    if not tidy:
        raise BadInput(f"{name!r} is no name for a worker: use letters, digits, '-' and '_'")
    return tidy
