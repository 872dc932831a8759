"""What the api establishes: users, their credentials, and what they want to be told of. What must not enter: secrets.

A credential is shown once, to whom it is given; the log has its digest. `by` is the user who asked for the change.
"""

from typing import Literal

from longshore_common.events.base import Event
from longshore_common.model import Notification, UserRole


class UserAdded(Event, frozen=True):
    """This user exists, or exists again after a revocation, in this role."""

    user: str
    role: UserRole
    by: str = ""


class UserChanged(Event, frozen=True):
    """This user has another role from here on."""

    user: str
    role: UserRole
    by: str = ""


class UserRevoked(Event, frozen=True):
    """All credentials of this user are void. The jobs stay and finish; admins may do with them what their owner could."""

    user: str
    by: str = ""
    reason: str = ""


class CredentialIssued(Event, frozen=True):
    """A credential exists: an api `secret` of a user, a `group` token to read, a `join` secret for hosts, or a `nats` key.

    `digest` is the argon2 hash of what was shown, `public_key` the NATS key that was signed. `expires`: Unix seconds, 0 =
    never. `name` is what its owner calls it. `parent`: the credential by which it was got, and with which it is void.
    """

    id: str
    kind: Literal["secret", "group", "join", "nats"]
    user: str = ""
    role: UserRole = "user"
    name: str = ""
    digest: str = ""
    public_key: str = ""
    expires: float = 0
    by: str = ""
    parent: str = ""


class CredentialExpires(Event, frozen=True):
    """It is valid until `at` (Unix seconds), so that its successor can be spread first."""

    id: str
    at: float
    by: str = ""
    user: str = ""


class CredentialRevoked(Event, frozen=True):
    """It is void from here on."""

    id: str
    by: str = ""
    reason: str = ""
    user: str = ""


class NotificationSet(Event, frozen=True):
    """Whoever asked for it is told of these things; one of the same id is replaced."""

    id: str
    user: str
    rule: Notification


class NotificationRemoved(Event, frozen=True):
    """Nothing more is told by this rule."""

    id: str
    user: str
