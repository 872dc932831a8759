"""Keys and JWTs of NATS' operator mode in pure Python: operator, accounts, users.

Format: nats-io/jwt v2. Whoever makes a seed keeps it; nothing here writes files. What must not enter: which subjects a
role has (`subjects.permissions`).
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import nkeys

from longshore_common.clock import SystemClock
from longshore_common.errors import BadInput
from longshore_common.subjects import Permissions

Kind = Literal["operator", "account", "user"]
_PREFIX: Final[dict[Kind, int]] = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
#: Seconds a worker has for an answer to what reached it.
ANSWER_WITHIN: Final = 60


def make_seed(kind: Kind) -> str:
    """A new private key; keep it secret, show `public_key` of it."""
    return bytes(nkeys.encode_seed(secrets.token_bytes(32), _PREFIX[kind])).decode()


def public_key(seed: str) -> str:
    """The public key of a seed; `BadInput` if it is none."""
    return bytes(_pair(seed).public_key).decode()


class Holder(NamedTuple):
    """Whom a claim is about: the name shown in logs and monitoring, and the public key."""

    name: str
    public_key: str


def operator_jwt(seed: str, system_account: str, *, name: str = "longshore") -> str:
    """The operator's own claim, naming the public key of the system account."""
    return _claim(seed, Holder(name, public_key(seed)), {"type": "operator", "system_account": system_account})


def account_jwt(
    operator_seed: str,
    account: Holder,
    *,
    signing_keys: Sequence[str] = (),
    revoked: Mapping[str, int] = MappingProxyType({}),
    jetstream: bool = True,
) -> str:
    """An account without limits; `signing_keys` (public keys of account seeds) may sign its users as well as its own.

    `revoked` maps public keys of users to Unix seconds: what was issued to them up to then is void.
    """
    limits: dict[str, Any] = {
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": True, "conn": -1, "leaf": -1,
    }  # fmt: skip
    if jetstream:
        limits |= {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    body: dict[str, Any] = {"type": "account", "limits": limits, "default_permissions": {"pub": {}, "sub": {}}}
    if signing_keys:
        body["signing_keys"] = list(signing_keys)
    if revoked:
        body["revocations"] = dict(revoked)
    return _claim(operator_seed, account, body)


def user_jwt(
    signing_seed: str, account: str, user: Holder, permissions: Permissions | None, *, expires: int | None = None
) -> str:
    """A user of the account of this public key, signed by the account's seed or one of its signing keys.

    `permissions` None = all: for the system account only. `expires`: Unix seconds, None = never.
    """
    body: dict[str, Any] = {"type": "user", "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
    if permissions is not None:
        body["pub"] = {"allow": list(permissions.publish)}
        body["sub"] = {"allow": list(permissions.subscribe)}
        if permissions.responses:
            body["resp"] = {"max": 1, "ttl": ANSWER_WITHIN * 1_000_000_000}
    if account != public_key(signing_seed):
        body["issuer_account"] = account
    return _claim(signing_seed, user, body, expires)


def creds_text(jwt: str, seed: str) -> str:
    """The text of a credentials file, as every NATS client reads it; its mode should be 0600."""
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )


def server_conf(operator: str, system_account: str, accounts: dict[str, str], directory: str = "") -> str:
    """The lines of nats-server's configuration for operator mode: `accounts` maps public keys to JWTs.

    With a `directory` the server keeps there what it is told later (a `full` resolver): who signs for the operator may
    tell it, by the system account, of an account with more keys in `revoked`, which cuts those off at once. Of two claims
    the later one counts, so that the claims given here must be as old as the keys. Without one (memory), revoking is a new
    file and a reload signal (SIGHUP). Keep the operator's JWT: a reload with another one, even if only newer, is refused
    by the server as a whole.
    """
    preload = "\n".join(f"  {key}: {jwt}" for key, jwt in accounts.items())
    resolver = f'{{ type: full, dir: "{directory}", allow_delete: false, interval: "2m" }}' if directory else "MEMORY"
    return (
        f"operator: {operator}\nsystem_account: {system_account}\nresolver: {resolver}\n"
        f"resolver_preload: {{\n{preload}\n}}\n"
    )


def _pair(seed: str) -> Any:
    try:
        return nkeys.from_seed(seed.strip().encode())
    except Exception as err:  # nkeys raises anything from binascii to its own
        raise BadInput("not an nkey seed: it begins with SO, SA or SU") from err


def _claim(seed: str, holder: Holder, body: dict[str, Any], expires: int | None = None) -> str:
    pair = _pair(seed)
    claim: dict[str, Any] = {
        "iat": int(SystemClock().now()),
        "iss": bytes(pair.public_key).decode(),
        "name": holder.name,
        "sub": holder.public_key,
        "nats": body | {"version": 2},
    }
    if expires is not None:
        claim["exp"] = expires
    digest = hashlib.sha256(json.dumps(claim, sort_keys=True).encode()).digest()
    claim["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_b64(_HEADER)}.{_b64(json.dumps(claim, sort_keys=True).encode())}"
    return f"{signed}.{_b64(pair.sign(signed.encode()))}"


_HEADER: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
