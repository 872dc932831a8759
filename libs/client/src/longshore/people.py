"""Users and their credentials, as the api keeps them: whom an admin lets in, and what each may renew of their own.

Secrets are in the answers of the calls that make them, and nowhere else. What must not enter: where they are kept.
"""

from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from longshore.reader import Reader
from longshore_common.errors import Unreadable
from longshore_common.model import UserRole

Shared = Literal["group", "join"]


class User(msgspec.Struct, frozen=True):
    """A user; `role` None: revoked. Instants are ISO 8601."""

    name: str
    role: UserRole | None
    added_at: str | None = None
    changed_at: str | None = None
    by: str = ""
    reason: str = ""


class Credential(msgspec.Struct, frozen=True):
    """A secret of a user, a group's token, a secret for hosts, or a key of NATS; not what it consists of."""

    id: str
    kind: str
    user: str = ""
    name: str = ""
    issued_at: str | None = None
    expires_at: str | None = None
    by: str = ""
    parent: str = ""


class Shown(msgspec.Struct, frozen=True):
    """A new credential and its secret, which nobody is shown again."""

    credential: Credential
    secret: str
    seq: int = 0

    def __repr__(self) -> str:
        return f"Shown({self.credential.id}, its secret is in .secret)"


class Me(msgspec.Struct, frozen=True):
    """Who the api takes us for, and by which credential."""

    user: str
    role: UserRole
    credential: str
    expires_at: str | None = None


class Changed(msgspec.Struct, frozen=True):
    """`seq`: the event that says so, 0 if it was so already."""

    seq: int


class People:
    """What can be done with users; `Refused` where the api does not let this user."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def me(self) -> Me:
        """Who we are."""
        return self._reader.record("/whoami", Me)

    def users(self) -> Iterator[User]:
        """All there ever were, by name."""
        for raw in self._reader.page("/users").items:
            yield _read(raw, User)

    def user(self, name: str) -> User:
        """One of them; `NotFound`."""
        return self._reader.record(f"/users/{quote(name)}", User)

    def add(self, name: str, role: UserRole = "user", *, lasts: float = 0, secret_name: str = "") -> Shown:
        """A user with a first secret that counts for `lasts` seconds, 0 = without end."""
        body = {"name": name, "role": role, "lasts": lasts, "secret_name": secret_name}
        return self._reader.send("POST", "/users", body, Shown)

    def change(self, name: str, role: UserRole) -> Changed:
        """Another role."""
        return self._reader.send("PATCH", f"/users/{quote(name)}", {"role": role}, Changed)

    def revoke(self, name: str, reason: str = "") -> Changed:
        """Void all their credentials at once; what they submitted goes on."""
        return self._reader.send("POST", f"/users/{quote(name)}/revoke", {"reason": reason}, Changed)

    def credentials(self, name: str) -> Iterator[Credential]:
        """A user's secrets, and keys of NATS that were got by them."""
        for raw in self._reader.page(f"/users/{quote(name)}/credentials").items:
            yield _read(raw, Credential)

    def issue(self, user: str, *, name: str = "", lasts: float = 0) -> Shown:
        """Another secret of a user."""
        return self._reader.send("POST", f"/users/{quote(user)}/secrets", {"name": name, "lasts": lasts}, Shown)

    def rotate(self, user: str, *, overlap: float = 0, name: str = "", lasts: float = 0) -> Shown:
        """A new secret; the user's others end in `overlap` seconds."""
        body = {"overlap": overlap, "name": name, "lasts": lasts}
        return self._reader.send("POST", f"/users/{quote(user)}/rotate", body, Shown)

    def withdraw(self, ident: str) -> Changed:
        """A credential is void at once."""
        return self._reader.send("DELETE", f"/credentials/{quote(ident)}", None, Changed)

    def shared(self, kind: Shared) -> Iterator[Credential]:
        """Tokens of groups, or secrets for hosts."""
        found = (_read(raw, Credential) for raw in self._reader.page("/credentials").items)
        return (each for each in found if each.kind == kind)

    def share(self, kind: Shared, *, name: str = "", lasts: float = 0) -> Shown:
        """A new one of these."""
        return self._reader.send("POST", "/credentials", {"kind": kind, "name": name, "lasts": lasts}, Shown)

    def replace(self, ident: str, *, overlap: float = 0) -> Shown:
        """A new one in the place of this; the old one ends in `overlap` seconds."""
        return self._reader.send("POST", f"/credentials/{quote(ident)}/rotate", {"overlap": overlap}, Shown)


def _read(raw: msgspec.Raw, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as err:
        raise Unreadable(f"the api answered what is no {kind.__name__} ({err})") from err
