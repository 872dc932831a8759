"""What a secret can be called, and the sheet that is sealed for a worker. What must not enter: sealing, where sheets are kept.

A sheet says whose it is and what it is called: a box that somebody sends again under another name, or as another user,
opens to a sheet that does not fit, and is worth nothing.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from longshore_common.damage import DAMAGED
from longshore_common.errors import BadInput

#: As variables of the environment are called.
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
#: What tasks are told by the agent, which no secret replaces.
TAKEN: Final = frozenset({"INPUT", "OUTPUT", "TEMP", "RESOURCE"})
#: Bytes of all values of a secret at most: Linux passes no longer variable to a program (MAX_ARG_STRLEN is 128 KiB).
MOST: Final = 65_536


class Sheet(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The secret `name` of `owner`: variables of the environment. `expires`: Unix seconds, 0 = never.

    `store`: the variables are credentials with which storage is reached for tasks that name the secret.
    """

    owner: str
    name: str
    values: dict[str, str]
    expires: float = 0
    store: bool = False


def fault(name: str) -> str:
    """Why no secret can be called so, "" if one can."""
    if not NAME.fullmatch(name):
        return (
            f"{name[:80]!r} can name no secret: use 1-63 letters, digits and '_', not beginning with a digit, "
            "as for a variable of the environment"
        )
    if name in TAKEN or name.startswith("LONGSHORE_"):
        return f"{name!r} is what the agent tells each task, so no secret can have that name: choose another"
    return ""


def key(owner: str, name: str) -> str:
    """What the secret is known as among those of all users."""
    return f"{owner}/{name}"


def text(sheet: Sheet) -> str:
    """What is to be sealed. `BadInput`, which shows no value, if it could be given to no program."""
    for word in (sheet.name, *sheet.values):
        if why := fault(word):
            raise BadInput(why)
    if any("\0" in value for value in sheet.values.values()):
        raise BadInput("the secret holds a NUL byte, which no program can be given: encode it, such as with base64")
    if sum(len(value.encode()) for value in sheet.values.values()) > MOST:
        raise BadInput(f"the secret has more than {MOST} bytes: keep it in storage, and a key to it as the secret")
    return msgspec.json.encode(sheet).decode()


def sheet(opened: str, owner: str, name: str) -> Sheet:
    """The sheet in an opened box that is said to be this secret. `BadInput`, which shows no value, if it is not."""
    try:
        found = msgspec.json.decode(opened, type=Sheet)
    except DAMAGED as err:
        raise BadInput(f"the box of {key(owner, name)} holds no secret: set it again") from err
    if (found.owner, found.name) != (owner, name):
        raise BadInput(
            f"the box of {key(owner, name)} was sealed for {key(found.owner, found.name)}, so it is not used"
        )
    return found
