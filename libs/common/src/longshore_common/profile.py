"""Where a stack is and how a user reaches it: the file `client.json` of a state directory.

Written by the embedded stack (or by `longshore login`), read by every command. What must not enter: secrets themselves;
they are in files of their own, 0600, named here.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput, Unreachable


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A user's door to one stack. Paths are absolute; `api_token_file` holds the bearer token for HTTP."""

    user: str
    nats_url: str
    nats_creds: str
    api_url: str
    api_token_file: str


def state_dir(environ: Mapping[str, str]) -> Path:
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
        raise Unreachable(
            f"no stack at {directory}: start one with `longshore up`, or set LONGSHORE_STATE_DIR to that of a running one"
        ) from err
    except DAMAGED as err:
        raise BadInput(f"{file} is damaged ({err}); `longshore up` writes it anew") from err
