"""What the api answers about users and credentials, and what it is sent. Instants are ISO 8601 or null, durations seconds."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from longshore_api.adapters.present import when
from longshore_api.adapters.users import Granted
from longshore_api.core import users
from longshore_common.model import UserRole

Seconds = Annotated[float, Meta(ge=0, description="Seconds; 0 = without end")]
Text = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$", description="1-63 of a-z, 0-9, '-' and '_'")]


class User(Struct, kw_only=True):
    """A user; `role` null: revoked, at `changed_at` and for `reason`. `by`: who did the last change."""

    name: str
    role: UserRole | None
    added_at: str | None
    changed_at: str | None
    by: str
    reason: str


class Users(Struct):
    """All users there ever were, by name."""

    items: list[User]
    next: str | None
    position: int


class Credential(Struct, kw_only=True):
    """A credential that is not revoked; what it consists of is not kept. `parent`: the secret by which a NATS key was got."""

    id: str
    kind: Literal["secret", "group", "join", "nats"]
    user: str
    name: str
    issued_at: str | None
    expires_at: str | None
    by: str
    parent: str


class Credentials(Struct):
    """Credentials, the oldest first."""

    items: list[Credential]
    next: str | None
    position: int


class Shown(Struct, kw_only=True):
    """A new credential with its `secret`, which is shown this once. `seq`: the event that made it."""

    credential: Credential
    secret: str
    seq: int


class NewUser(Struct, kw_only=True, forbid_unknown_fields=True):
    """A user to be added, and for how long the first secret counts."""

    name: Name
    role: UserRole = "user"
    lasts: Seconds = 0
    secret_name: Text = ""


class Role(Struct, forbid_unknown_fields=True):
    """Another role."""

    role: UserRole


class Reason(Struct, forbid_unknown_fields=True):
    """Why, for the history."""

    reason: Text = ""


class NewSecret(Struct, kw_only=True, forbid_unknown_fields=True):
    """Another secret of a user: what its owner calls it, and for how long it counts."""

    name: Text = ""
    lasts: Seconds = 0


class NewCredential(Struct, kw_only=True, forbid_unknown_fields=True):
    """A token for a group that reads, or a secret by which hosts join."""

    kind: Literal["group", "join"]
    name: Text = ""
    lasts: Seconds = 0


class Rotation(Struct, kw_only=True, forbid_unknown_fields=True):
    """The others end in `overlap` seconds, if not earlier; the new secret counts for `lasts`."""

    overlap: Annotated[float, Meta(ge=0)] = 0
    name: Text = ""
    lasts: Seconds = 0


class Changed(Struct):
    """`seq`: the event that says so, 0 if it was so already."""

    seq: int


class Me(Struct, kw_only=True):
    """Who asks, and by which credential (`stack`: the stack's own token)."""

    user: str
    role: UserRole
    credential: str
    expires_at: str | None


class Key(Struct, forbid_unknown_fields=True):
    """The public key of an nkey user (U…), made for this login and no other; the private one stays where it was made."""

    public_key: Annotated[str, Meta(pattern="^U[A-Z2-7]{55}$")]


class Login(Struct, kw_only=True):
    """What to reach the log with: a JWT for the key, and where. Both are empty for a group's token, which reads by HTTP."""

    user: str
    role: UserRole
    jwt: str
    nats_url: str
    expires_at: str | None
    expires: float


def user(account: users.Account) -> User:
    """An account as it is shown."""
    return User(
        name=account.name, role=account.role, added_at=when(account.added), changed_at=when(account.changed),
        by=account.by, reason=account.reason,
    )  # fmt: skip


def credential(found: users.Credential) -> Credential:
    """A credential without anything it could be guessed from."""
    return Credential(
        id=found.id, kind=found.kind, user=found.user, name=found.name, issued_at=when(found.issued),
        expires_at=when(found.expires or None), by=found.by, parent=found.parent,
    )  # fmt: skip


def shown(granted: Granted) -> Shown:
    """A new one, this once with its secret."""
    return Shown(credential=credential(granted.credential), secret=granted.shown, seq=granted.seq)
