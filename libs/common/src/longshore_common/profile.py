"""Where a stack is and how a user reaches it: the file `client.json` of a state directory.

Written by the embedded stack (or by `longshore login`), read by every command. What must not enter: secrets themselves;
they are in files of their own, 0600, named here.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, Unreachable


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A user's door to one stack. Paths are absolute; `api_token_file` holds the bearer token for HTTP.

    `nats_url` may be empty: everything goes over HTTP then. `expires`: when `nats_creds` end (Unix seconds), 0 = never.
    """

    user: str
    nats_url: str
    nats_creds: str
    api_url: str
    api_token_file: str
    expires: float = 0


#: The profile that is in force without a name, once somebody logged in to it.
DEFAULT: Final = "default"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where `client.json` is: of the profile that LONGSHORE_PROFILE names, else of the stack that LONGSHORE_STATE_DIR
    names, else of the default profile, if there is one, else of the stack of this host.
    """
    if name := environ.get("LONGSHORE_PROFILE"):
        return profile_dir(name, environ)
    default = profile_dir(DEFAULT, environ)
    if not environ.get("LONGSHORE_STATE_DIR") and (default / "client.json").is_file():
        return default
    return stack_dir(environ)


def profile_dir(name: str, environ: Mapping[str, str]) -> Path:
    """Where a profile is kept; `BadInput` if it cannot be a name."""
    if not _NAME.fullmatch(name):
        raise BadInput(f"{name!r} is no name for a profile: use 1-63 of a-z, 0-9, '-' and '_'")
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    return Path(base).absolute() / "longshore" / "profiles" / name


def stack_dir(environ: Mapping[str, str]) -> Path:
    """`LONGSHORE_STATE_DIR`, else /var/lib/longshore for root, else by XDG; absolute, not created."""
    if named := environ.get("LONGSHORE_STATE_DIR"):
        return Path(named).absolute()
    if os.geteuid() == 0:  # PostgreSQL refuses root and its substitute user cannot enter /root
        return Path("/var/lib/longshore")
    base = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local/state")
    return Path(base).absolute() / "longshore"


def load(directory: Path) -> Profile:
    """The profile of this state directory; `Unreachable` with the fix if there is none, `BadInput` if it is damaged."""
    file = directory / "client.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Profile)
    except FileNotFoundError as err:
        if directory.parent.name == "profiles":
            raise Unreachable(f"there is no profile {directory.name}: make it with `longshore login`") from err
        raise Unreachable(
            f"no stack at {directory}: start one with `longshore up`, set LONGSHORE_STATE_DIR to that of a running one, "
            "or `longshore login` to one elsewhere"
        ) from err
    except DAMAGED as err:
        raise BadInput(f"{file} is damaged ({err}); `longshore up` writes it anew") from err
