"""Keys and credentials of a stack: made at the first start, files 0600, permissions from the one table of subjects.

What must not enter: how keys are encoded (`longshore_common.adapters.nats_keys`), who connects where.
"""

import getpass
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from longshore_common.adapters import nats_keys
from longshore_common.errors import BadInput
from longshore_common.events import Role
from longshore_common.ids import TOKEN
from longshore_common.subjects import permissions, telling_claims
from longshore_infra.stack.layout import Layout
from longshore_infra.supervisor.files import write_json, write_private

SERVICES: tuple[Role, ...] = ("dispatch", "api", "recruit")
#: No user is called so: their files would be another's.
_TAKEN = (*SERVICES, "system")


class Keys(NamedTuple):
    """What the parts of a stack are given."""

    account_seed: Path  # the account's signing seed: whoever reads it issues users
    account: str  # the account's public key
    server_conf: str  # whom our own server trusts; "" if someone else runs it
    user: str
    owner: Path  # whose stack it is, and the key of the credentials they were given
    operator_seed: Path | None = None  # whoever reads it makes accounts; None if someone else runs the server
    system_creds: Path | None = None


class Owner(msgspec.Struct, frozen=True):
    """The file that tells the api who owns the stack."""

    user: str
    public_key: str


def prepare(layout: Layout, environ: Mapping[str, str], user: str = "", *, claims: str = "") -> Keys:
    """Make what is missing, mint the services' and the user's credentials anew; `user`: by default who is logged in.

    With NATS_URL, LONGSHORE_ACCOUNT_SEED_FILE and LONGSHORE_ACCOUNT_PUBLIC name the account of that server that we use;
    without them our own keys are used, which a server without authentication accepts. `claims`: where our own server keeps
    what it is told of accounts.
    """
    for name in ("join", "api-token"):
        if not (file := layout.secrets / name).exists():
            write_private(file, secrets.token_urlsafe(32).encode())
    seed_file, account, conf = _outside(environ) if environ.get("NATS_URL") else (None, "", "")
    if seed_file is None:
        seed_file, account, conf = _own(layout, claims or str(layout.nats / "claims"))
    seed, user = seed_file.read_text().strip(), user or user_name()
    wanted: list[tuple[Role, str]] = [*((role, "") for role in SERVICES), ("user", user)]
    for role, name in wanted:
        own = _seed(layout.keys / f"user-{name}.seed", "user") if role == "user" else nats_keys.make_seed("user")
        text, key = mint(seed, account, role, name, own)
        write_private(creds_file(layout, name or role), text)
        if role == "user":
            write_json(layout.creds / "owner.json", Owner(user, key))
    made = Keys(seed_file, account, conf, user, layout.creds / "owner.json")
    return made if environ.get("NATS_URL") else made._replace(
        operator_seed=layout.keys / "operator.seed", system_creds=creds_file(layout, "system")
    )  # fmt: skip


def mint(account_seed: str, account: str, role: Role, name: str, seed: str) -> tuple[bytes, str]:
    """A credentials file of this role for a user's key pair, and its public key; the owner keeps theirs."""
    holder = nats_keys.Holder(name or role, nats_keys.public_key(seed))
    jwt = nats_keys.user_jwt(account_seed, account, holder, permissions(role, name))
    return nats_keys.creds_text(jwt, seed).encode(), holder.public_key


def creds_file(layout: Layout, name: str) -> Path:
    """The credentials of a service's role or of a user."""
    return layout.creds / f"{name}.creds"


def user_name() -> str:
    """The login name if it can stand in a subject, else `local`."""
    try:
        name = getpass.getuser().lower()
    except (KeyError, OSError):  # an uid without a name
        return "local"
    return name if TOKEN.fullmatch(name) and name not in _TAKEN else "local"


def _own(layout: Layout, claims: str) -> tuple[Path, str, str]:
    operator = _seed(layout.keys / "operator.seed", "operator")
    system, account, signing = (
        nats_keys.public_key(_seed(layout.keys / f"{name}.seed", "account"))
        for name in ("system", "account", "signing")
    )
    accounts = {
        system: nats_keys.account_jwt(operator, nats_keys.Holder("SYS", system), jetstream=False),
        account: _claim(layout, operator, account, signing),
    }
    _system_creds(layout, system)
    conf = nats_keys.server_conf(nats_keys.operator_jwt(operator, system), system, accounts, claims)
    return layout.keys / "signing.seed", account, conf


def _claim(layout: Layout, operator: str, account: str, signing: str) -> str:
    """The account as it was made: a newer claim would have the server forget who was revoked since."""
    file = layout.keys / f"{account}.{signing}.jwt"
    if not file.exists():
        claim = nats_keys.account_jwt(operator, nats_keys.Holder("longshore", account), signing_keys=[signing])
        write_private(file, claim.encode())
    return file.read_text()


def _system_creds(layout: Layout, system: str) -> None:
    """What the api tells our server revocations with, and nothing else."""
    seed = nats_keys.make_seed("user")
    holder = nats_keys.Holder("api", nats_keys.public_key(seed))
    signer = (layout.keys / "system.seed").read_text().strip()
    jwt = nats_keys.user_jwt(signer, system, holder, telling_claims())
    write_private(creds_file(layout, "system"), nats_keys.creds_text(jwt, seed).encode())


def _outside(environ: Mapping[str, str]) -> tuple[Path | None, str, str]:
    file, account = environ.get("LONGSHORE_ACCOUNT_SEED_FILE"), environ.get("LONGSHORE_ACCOUNT_PUBLIC")
    if bool(file) != bool(account):
        raise BadInput("set both LONGSHORE_ACCOUNT_SEED_FILE and LONGSHORE_ACCOUNT_PUBLIC, or neither")
    if not file or not account:
        return None, "", ""
    if not Path(file).is_file():
        raise BadInput(f"LONGSHORE_ACCOUNT_SEED_FILE names {file}, which is no file")
    return Path(file).absolute(), account, ""


def _seed(file: Path, kind: nats_keys.Kind) -> str:
    if not file.exists():
        write_private(file, nats_keys.make_seed(kind).encode())
    return file.read_text().strip()
