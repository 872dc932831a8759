"""Users and their credentials, as the log has them: one fold for the projection and for the keyring of every api process.

A credential counts while it is neither revoked nor past its time, its user has not been revoked since, and, if it is a NATS
key, as long as it allows no more than its user may. What must not enter: what is shown to prove a credential.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from longshore_common import events as e
from longshore_common.authority import Authority, covers
from longshore_common.model import UserRole

#: The kinds of rows among those of what governs all.
ACCOUNT, CREDENTIAL = "account", "credential"
Kind = Literal["secret", "group", "join", "nats"]
#: Clocks differ, and no key is signed twice: what a void key got is void however late it was signed (seconds).
FOREVER: Final = 100 * 365 * 86_400


class Visitor(NamedTuple):
    """Who asks: the user in whose name things are done ("" for a group token), and what they may do."""

    user: str
    role: UserRole
    credential: str = ""

    def may(self, role: UserRole) -> bool:
        """Whether they may do what this role may."""
        return covers(self.role, role)


class Account(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user; `role` None: revoked. Instants are Unix seconds, `by` did the last change, `seq` is its event."""

    name: str
    role: UserRole | None
    added: float = 0
    changed: float = 0
    by: str = ""
    reason: str = ""
    seq: int = 0


class Credential(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A credential, as `events.facts.CredentialIssued`; `revoked`: the instant, 0 = it is not.

    `parent`: by which it was got. `cut`: it ends before the instant it was made for.
    """

    id: str
    kind: Kind
    user: str = ""
    role: UserRole = "user"
    name: str = ""
    digest: str = ""
    public_key: str = ""
    parent: str = ""
    expires: float = 0
    issued: float = 0
    by: str = ""
    revoked: float = 0
    reason: str = ""
    cut: bool = False
    seq: int = 0


Entry = Account | Credential


class Register:
    """All accounts and credentials; mutable. Each entry knows the event it stands at, so what is older changes nothing."""

    def __init__(self) -> None:
        self.authority = Authority()
        self.accounts: dict[str, Account] = {}
        self.credentials: dict[str, Credential] = {}
        self._users: dict[str, dict[str, None]] = {}  # the ids of each user's
        self._children: dict[str, dict[str, None]] = {}  # the ids of what was got by each

    def put(self, kind: str, value: str | bytes, seq: int) -> None:
        """An entry as a row of the read model has it; kept if it is not older than what is known."""
        if kind == ACCOUNT:
            account = msgspec.json.decode(value, type=Account)
            if seq >= getattr(self.accounts.get(account.name), "seq", 0):
                self.accounts[account.name] = account
                self.authority.roles[account.name] = account.role
        elif kind == CREDENTIAL:
            credential = msgspec.json.decode(value, type=Credential)
            if seq >= getattr(self.credentials.get(credential.id), "seq", 0):
                self._keep(credential)

    def take(self, event: e.Event, seq: int, at: float) -> list[Entry]:
        """Fold the event in; the entries that changed."""
        match event:
            case e.UserAdded() | e.UserChanged() | e.UserRevoked():
                return list(self._account(event, seq, at))
            case e.CredentialIssued():
                return list(self._issued(event, seq, at))
            case e.CredentialExpires() if (known := self._older(event.id, seq)) is not None:
                return list(self._cut(known, seq, event.at))
            case e.CredentialRevoked() if (known := self._older(event.id, seq)) is not None:
                return list(self._void(known, seq, at, event.reason))
            case _:
                return []

    def _account(self, event: e.UserAdded | e.UserChanged | e.UserRevoked, seq: int, at: float) -> Iterator[Entry]:
        known = self.accounts.get(event.user)
        if (known is not None and known.seq >= seq) or not self.authority.take(event):
            return
        added = at if known is None or isinstance(event, e.UserAdded) else known.added
        reason = event.reason if isinstance(event, e.UserRevoked) else ""
        account = self.accounts[event.user] = Account(
            name=event.user, role=self.authority.roles[event.user], added=added, changed=at, by=event.by,
            reason=reason, seq=seq,
        )  # fmt: skip
        yield account
        for credential in [self.credentials[ident] for ident in self._users.get(event.user, ())]:
            if not credential.revoked and not _allowed(credential, account.role):
                why = "its user is revoked" if account.role is None else f"its user is {account.role} from here on"
                yield from self._void(credential, seq, at, why)

    def _issued(self, event: e.CredentialIssued, seq: int, at: float) -> Iterator[Entry]:
        """One is issued once; to nobody who is revoked by then, nor by what is void by then."""
        if event.id in self.credentials:
            return
        role = self.authority.roles.get(event.user) if event.user else event.role
        parent = self.credentials.get(event.parent)
        void = role is None or not covers(role, event.role) or (parent is not None and parent.revoked > 0)
        yield self._keep(Credential(
            id=event.id, kind=event.kind, user=event.user, role=event.role, name=event.name, digest=event.digest,
            public_key=event.public_key, parent=event.parent, expires=event.expires, issued=at, by=event.by,
            revoked=at if void else 0, reason="it came too late" if void else "", seq=seq,
        ))  # fmt: skip

    def _cut(self, known: Credential, seq: int, at: float) -> Iterator[Entry]:
        """It ends at `at`, and so does what was got by it."""
        for each in (known, *self._got_by(known)):
            if each is known or not 0 < each.expires <= at:
                yield self._keep(msgspec.structs.replace(each, expires=at, cut=True, seq=seq))

    def _void(self, known: Credential, seq: int, at: float, reason: str) -> Iterator[Entry]:
        """It, and what was got by it."""
        if not known.revoked:
            yield self._keep(msgspec.structs.replace(known, revoked=at, reason=reason, seq=seq))
        for child in [child for child in self._got_by(known) if not child.revoked]:
            yield self._keep(msgspec.structs.replace(child, revoked=at, reason=reason, seq=seq))

    def _older(self, ident: str, seq: int) -> Credential | None:
        known = self.credentials.get(ident)
        return known if known is not None and known.seq < seq else None

    def _got_by(self, known: Credential) -> list[Credential]:
        return [self.credentials[ident] for ident in self._children.get(known.id, ())]

    def _keep(self, credential: Credential) -> Credential:
        self.credentials[credential.id] = credential
        self._users.setdefault(credential.user, {})[credential.id] = None
        if credential.parent:
            self._children.setdefault(credential.parent, {})[credential.id] = None
        return credential

    # --- questions ------------------------------------------------------------------------------------------------------

    def standing(self, ident: str, now: float) -> Credential | None:
        """The credential, if it counts now."""
        found = self.credentials.get(ident)
        return found if found is not None and not found.revoked and not 0 < found.expires <= now else None

    def visitor(self, credential: Credential) -> Visitor | None:
        """Who comes with it; None if it admits nobody to read or write."""
        if credential.kind == "group":
            return Visitor("", "viewer", credential.id)
        role = self.authority.roles.get(credential.user)
        return Visitor(credential.user, role, credential.id) if credential.kind == "secret" and role else None

    def of(self, user: str | None, kinds: Iterable[Kind]) -> list[Credential]:
        """Those of this user (None: of all) that are not revoked, the oldest first."""
        wanted = frozenset(kinds)
        some = self.credentials if user is None else self._users.get(user, ())
        found = (self.credentials[ident] for ident in some)
        return sorted((c for c in found if c.kind in wanted and not c.revoked), key=lambda c: (c.issued, c.id))

    def void_keys(self, now: float, life: float) -> dict[str, int]:
        """Public keys of NATS that are void, and the second up to which what they got is; `life`: all that one has."""
        return {
            c.public_key: int(c.issued) + FOREVER
            for c in self.credentials.values()
            if c.kind == "nats" and (c.revoked or (c.cut and c.expires <= now)) and _signed_still(c, now, life)
        }

    def next_end(self, now: float) -> float:
        """When the next key of NATS ends before its time (Unix seconds); infinity if none does."""
        cut = (c.expires for c in self.credentials.values() if c.cut and c.kind == "nats" and c.expires > now)
        return min(cut, default=float("inf"))


def _signed_still(key: Credential, now: float, life: float) -> bool:
    """Whether the server would take what it was given; without an end it always would."""
    return not key.expires or now < key.issued + life + 60


def _allowed(credential: Credential, role: UserRole | None) -> bool:
    """Whether a credential of its kind stays when its user has this role."""
    if role is None:
        return False
    return credential.kind != "nats" or covers(role, credential.role) or role == "user"
