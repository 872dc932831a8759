"""What is done with users and their credentials: each is a fact in the log, which counts once this process has read it back.

Who may ask for what is checked here, for every door alike. What must not enter: routes, what is shown of a secret twice.
"""

import asyncio
import re
from typing import Final, NamedTuple

import structlog

from longshore_api.adapters import keyring as keys
from longshore_api.adapters.keyring import STACK, Keyring
from longshore_api.adapters.pen import Pen
from longshore_api.core.users import Account, Credential, Kind, Visitor
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters import nats_keys
from longshore_common.clock import Clock
from longshore_common.errors import BadInput, Conflict, NotFound, Refused, Unreachable
from longshore_common.ids import token
from longshore_common.model import UserRole

log = structlog.get_logger()

#: Seconds that a login lasts on NATS; it is renewed by showing the secret again.
LIFE: Final = 7 * 86_400.0
#: The longest a credential may last, in seconds; else it is one without end.
LONGEST: Final = 100 * 365 * 86_400.0
#: Names of credentials and reasons are for people.
_LONGEST_TEXT: Final = 200
_USER_KEY: Final = re.compile(r"U[A-Z2-7]{55}")


class Signer(NamedTuple):
    """What signs credentials of NATS (see `issuer.Secrets`), and where users connect."""

    signing_seed: str
    account: str
    nats_url: str


class Granted(NamedTuple):
    """A new credential, and its secret, which is shown once."""

    credential: Credential
    shown: str
    seq: int


class Login(NamedTuple):
    """What a user connects to NATS with; no `jwt` for who only reads by HTTP. `expires`: Unix seconds."""

    jwt: str
    nats_url: str
    expires: float


class Terms(NamedTuple):
    """What its owner calls a credential, and for how many seconds it counts, 0 = without end."""

    name: str = ""
    lasts: float = 0


class Users:
    """All that is asked for here is refused (`Refused`) unless `by` may; `Unreachable` while the log is away: ask again."""

    def __init__(self, ring: Keyring, pen: Pen, signer: Signer, clock: Clock) -> None:
        self._ring = ring
        self._pen = pen
        self._signer = signer
        self._clock = clock

    # --- users ----------------------------------------------------------------------------------------------------------

    def account(self, name: str) -> Account:
        """One user; `NotFound`."""
        found = self._ring.register.accounts.get(name)
        if found is None:
            raise NotFound(f"there is no user {name!r}: list those there are")
        return found

    def accounts(self) -> list[Account]:
        """All users there ever were, by name."""
        known = self._ring.register.accounts
        return [known[name] for name in sorted(known)]

    async def add(self, by: Visitor, name: str, role: UserRole, terms: Terms) -> Granted:
        """A user with a first secret; `Conflict` if there is one. A revoked one comes back without the old ones."""
        _admin(by)
        name = token(name, "user")
        known = self._ring.register.accounts.get(name)
        if known is not None and known.role is not None:
            raise Conflict(f"there is a user {name} already, with the role {known.role}")
        await self._said(e.UserAdded(user=name, role=role, by=by.user))
        return await self.grant(by, "secret", name, terms)

    async def change(self, by: Visitor, name: str, role: UserRole) -> int:
        """Another role; the sequence of the change, 0 if it is the one they have."""
        _admin(by)
        known = self._standing(name)
        if known.role == role:
            return 0
        self._keep_an_admin(name, role)
        seq = await self._said(e.UserChanged(user=name, role=role, by=by.user))
        if self.account(name).role != role:
            raise Refused(f"{name} is the last admin: make another one first")
        return seq

    async def revoke(self, by: Visitor, name: str, reason: str) -> int:
        """All credentials of a user are void at once; what they submitted goes on. The sequence, 0 if they are revoked."""
        _admin(by)
        if self.account(name).role is None:
            return 0
        self._keep_an_admin(name, None)
        seq = await self._said(e.UserRevoked(user=name, by=by.user, reason=_text(reason)))
        if self.account(name).role is not None:
            raise Refused(f"{name} is the last admin: make another one first")
        return seq

    def _standing(self, name: str) -> Account:
        found = self.account(name)
        if found.role is None:
            raise Conflict(f"user {name} is revoked: add them again first")
        return found

    def _keep_an_admin(self, name: str, role: UserRole | None) -> None:
        if role == "admin":
            return
        if name == self._ring.owner and self._ring.standing(STACK) is not None:
            raise Refused(
                f"{name} owns this stack, whose api token makes them an admin: start it for somebody else first"
            )
        if self._ring.register.authority.is_last_admin(name):
            raise Refused(f"{name} is the last admin: make another one first")

    # --- credentials ----------------------------------------------------------------------------------------------------

    def credentials(self, by: Visitor, user: str | None, kinds: tuple[Kind, ...]) -> list[Credential]:
        """Those that are not revoked: one's own, or, for admins, anybody's (`user` None: everybody's)."""
        _self_or_admin(by, user)
        return self._ring.register.of(user, kinds)

    async def grant(self, by: Visitor, kind: Kind, user: str, terms: Terms) -> Granted:
        """A new secret of a user, or one of nobody's: a group's token (`group`), or a secret for hosts (`join`)."""
        if kind == "secret":
            _self_or_admin(by, user)
            role = self._standing(user).role or "viewer"
        else:
            _admin(by)
            user, role = "", "viewer"
        expires = self._expires(by, terms)
        made = await asyncio.to_thread(keys.make)
        issued = e.CredentialIssued(
            id=made.id, kind=kind, user=user, role=role, name=_text(terms.name), digest=made.digest,
            expires=expires, by=by.user,
        )  # fmt: skip
        seq = await self._said(issued)
        found = self._ring.register.credentials[made.id]
        if found.revoked:
            raise Conflict(f"user {user} was changed meanwhile: look again")
        return Granted(found, made.shown, seq)

    async def rotate(self, by: Visitor, user: str, terms: Terms, overlap: float) -> Granted:
        """A new secret of a user; their others end in `overlap` seconds, if not earlier."""
        _overlap(overlap)
        granted = await self.grant(by, "secret", user, terms)
        for old in self._ring.register.of(user, ("secret",)):
            if old.id != granted.credential.id:
                await self._end(by, old, overlap)
        return granted

    async def replace(self, by: Visitor, ident: str, overlap: float) -> Granted:
        """A new group token or join secret of the same name; the old one ends in `overlap` seconds, if not earlier."""
        _admin(by)
        _overlap(overlap)
        old = self.credential(by, ident)
        if old.kind not in ("group", "join"):
            raise BadInput(f"{ident} is a {old.kind}: rotate its user")
        lasts = old.expires - old.issued if old.expires and not old.cut else 0
        granted = await self.grant(by, old.kind, "", Terms(old.name, lasts))
        await self._end(by, old, overlap)
        return granted

    async def withdraw(self, by: Visitor, ident: str, reason: str) -> int:
        """A credential is void at once, and what was got by it; the sequence, 0 if it is already."""
        found = self.credential(by, ident)
        if found.revoked:
            return 0
        return await self._said(e.CredentialRevoked(id=ident, by=by.user, reason=_text(reason), user=found.user))

    def credential(self, by: Visitor, ident: str) -> Credential:
        """One of one's own, or, for admins, any; `NotFound`."""
        found = self._ring.register.credentials.get(ident)
        if found is None or not (by.may("admin") or (by.user and by.user == found.user)):
            raise NotFound(f"you have no credential {ident!r}: list those there are")
        return found

    async def _end(self, by: Visitor, old: Credential, overlap: float) -> None:
        at = self._clock.now() + overlap
        if not overlap:
            await self._said(e.CredentialRevoked(id=old.id, by=by.user, reason="replaced", user=old.user))
        elif not 0 < old.expires <= at:
            await self._said(e.CredentialExpires(id=old.id, at=at, by=by.user, user=old.user))

    def _expires(self, by: Visitor, terms: Terms) -> float:
        """No one who is not an admin gets what lasts longer than what they came with."""
        if not 0 <= terms.lasts <= LONGEST:
            raise BadInput("lasts: give seconds, or 0 for a credential without end")
        expires = self._clock.now() + terms.lasts if terms.lasts else 0
        own = self._ring.register.credentials.get(by.credential)
        if own is not None and own.expires and not by.may("admin"):
            return min(expires or own.expires, own.expires)
        return expires

    # --- NATS -----------------------------------------------------------------------------------------------------------

    async def login(self, by: Visitor, public_key: str) -> Login:
        """Credentials of NATS for a key that the user made for it, and for this alone; a group gets none."""
        if not _USER_KEY.fullmatch(public_key):
            raise BadInput("public_key is not the public key of an nkey user: it begins with U and has 56 characters")
        if not by.user or not self._signer.signing_seed:
            return Login("", "", 0)
        if public_key in self._ring.register.credentials:
            raise Conflict("this key was used before: make a new one for each login")
        now = self._clock.now()
        own = self._ring.register.credentials.get(by.credential)
        expires = float(int(min(now + LIFE, own.expires if own is not None and own.expires else now + LIFE)))
        parent = own.id if own is not None else ""
        await self._said(self._key(by.user, by.role, public_key, f"by {parent}" if parent else "by the stack's token",
                                   expires=expires, parent=parent))  # fmt: skip
        if self._ring.register.standing(public_key, now) is None:
            raise Refused("you were changed or revoked meanwhile: log in again")
        allowed = subjects.reading(by.user) if by.role == "viewer" else subjects.permissions("user", by.user)
        jwt = nats_keys.user_jwt(
            self._signer.signing_seed, self._signer.account, nats_keys.Holder(by.user, public_key), allowed,
            expires=int(expires),
        )  # fmt: skip
        return Login(jwt, self._signer.nats_url, expires)

    async def found(self, key: str) -> None:
        """Add the owner, if nobody did, and the `key` that whoever set up the stack gave them. Ends when it is done.

        Without a token of the stack there is no owner: nobody could come as them.
        """
        owner, register = self._ring.owner, self._ring.register
        if self._ring.standing(STACK) is None:
            return
        while True:
            try:
                await self._ring.known()
                if owner not in register.accounts:
                    await self._said(e.UserAdded(user=owner, role="admin"), f"owner-{owner}")
                if key and key not in register.credentials:
                    await self._said(self._key(owner, "admin", key, "by the stack"), f"owner-{key}")
            except Unreachable as err:
                log.warning("the owner is not known yet", reason=str(err))
                await asyncio.sleep(1)
            else:
                return

    def _key(self, user: str, role: UserRole, key: str, name: str, **more: object) -> e.CredentialIssued:
        return e.CredentialIssued(id=key, kind="nats", user=user, role=role, name=name, public_key=key, by=user, **more)  # type: ignore[arg-type]

    async def _said(self, fact: e.Event, key: str = "") -> int:
        """Append the fact; it is known to this process when this returns."""
        seq = await self._pen.fact(fact, key)
        if not await self._ring.passed(seq):
            raise Unreachable(
                f"it is in the log (event {seq}), which this api has not read yet: look again in a moment"
            )
        return seq


def _overlap(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST:
        raise BadInput("overlap: give seconds, 0 for none")


def _admin(by: Visitor) -> None:
    if not by.may("admin"):
        raise Refused(f"this needs the role admin, yours is {by.role}: ask an admin of this stack")


def _self_or_admin(by: Visitor, user: str | None) -> None:
    if not by.may("admin") and not (user and by.user == user):
        raise Refused("this is for the user themselves or an admin")


def _text(text: str) -> str:
    if len(text) > _LONGEST_TEXT or any(ord(c) < 32 for c in text):
        raise BadInput(f"a name or reason is a line of at most {_LONGEST_TEXT} characters")
    return text
