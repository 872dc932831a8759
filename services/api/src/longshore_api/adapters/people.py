"""All about users that one api process holds: who may come in, what is done with them, and that NATS hears of it.

What must not enter: routes, rules.
"""

import asyncio
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog

from longshore_api.adapters.claims import Claims, Operator
from longshore_api.adapters.issuer import Secrets
from longshore_api.adapters.keyring import FACTS, Edges, Keyring
from longshore_api.adapters.pen import Pen
from longshore_api.adapters.users import Signer, Users
from longshore_common.adapters import nats_keys, nats_log, nats_trim
from longshore_common.clock import Clock
from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, LongshoreError

log = structlog.get_logger()

#: Seconds between attempts.
_AGAIN: Final = 5


class Owner(msgspec.Struct, frozen=True):
    """Whose stack this is, and the NATS key they were given, as the file says that whoever set it up wrote."""

    user: str = "root"
    public_key: str = ""

    @classmethod
    def of(cls, file: str) -> "Owner":
        """As `file` says; without one the owner is called root."""
        try:
            return msgspec.json.decode(Path(file).read_bytes(), type=cls) if file else cls()
        except (OSError, *DAMAGED) as err:
            raise BadInput(f"{file} does not say whose stack this is ({err}): set it up again") from err


class Told(NamedTuple):
    """The stack's own token, the file about its owner, the operator's seed ("" if we have none), a credentials file of
    the system account, where users and we connect, and the read model.
    """

    token: str
    owner_file: str
    operator_seed: str
    system_creds: str
    user_nats_url: str
    nats_url: str
    database_url: str


class People:
    """`ring` and `users` are for the routes; `keep` runs beside them."""

    def __init__(self, told: Told, secrets: Secrets, transport: nats_log.NatsTransport, clock: Clock) -> None:
        self._told = told
        self._secrets = secrets
        self._transport = transport
        self._clock = clock
        self.owner = Owner.of(told.owner_file)
        self.ring = Keyring(told.token, self.owner.user, clock)
        signer = Signer(secrets.signing_seed, secrets.account, told.user_nats_url)
        self.users = Users(self.ring, Pen(transport.log), signer, clock)

    async def keep(self) -> None:
        """Read who there is and tell NATS who is no more, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.ring.run(self._transport.log, self._edges, self._told.database_url), name="users")
            tasks.create_task(self.users.found(self.owner.public_key), name="owner")
            tasks.create_task(self._tell(), name="claims")

    async def _edges(self) -> Edges:
        return Edges(*await nats_trim.newest(self._transport, FACTS))

    async def _tell(self) -> None:
        told, secrets = self._told, self._secrets
        if not (told.operator_seed and told.system_creds and secrets.signing_seed):
            log.warning("NATS is not told who is revoked: keys end with their time", reason="no operator's seed")
            return
        while True:
            try:
                await self._tell_by(told, secrets)
            except LongshoreError as err:
                log.warning("NATS cannot be told who is revoked", reason=str(err))
                await asyncio.sleep(_AGAIN)

    async def _tell_by(self, told: Told, secrets: Secrets) -> None:
        system = await nats_log.connect(told.nats_url, creds=told.system_creds, role="api")
        try:
            signing = nats_keys.public_key(secrets.signing_seed)
            operator = Operator(told.operator_seed, secrets.account, signing)
            await Claims(self.ring, system.hints, operator, self._clock).run()
        finally:
            await system.close()
