"""Logging in: a secret becomes a profile, a directory with what commands need; on NATS it lasts a week and is renewed.

The secret is in a file of its own, 0600, and its NATS key is made here: the private half never leaves. What must not
enter: asking people.
"""

import os
import shutil
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from longshore.bookmark import Bookmark
from longshore.people import Changed, Me
from longshore.reader import Reader
from longshore_common.clock import SystemClock
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable
from longshore_common.model import UserRole
from longshore_common.profile import Profile, load

R = TypeVar("R")

#: A login is renewed when less of it is left (seconds): it lasts seven days.
RENEW: Final = 6 * 86_400.0
_PATIENCE: Final = 5.0
#: Files of a profile.
_TOKEN, _CREDS, _CLIENT = "api-token", "user.creds", "client.json"


class _Login(msgspec.Struct, frozen=True):
    user: str
    role: UserRole
    jwt: str = ""
    nats_url: str = ""
    expires: float = 0


def login(directory: Path, api_url: str, secret: str, *, nats: bool = True) -> Me:
    """Make the profile in `directory`, replacing what is there; who we are by this secret. `Refused` if it opens nothing.

    Without `nats` everything goes over HTTP. Nothing is written before the api has let us in.
    """
    if urlsplit(api_url).scheme not in ("http", "https") or not urlsplit(api_url).hostname:
        raise BadInput(f"{api_url!r} is no address of an api: write https://host or http://127.0.0.1:8700")
    if not secret or any(ord(c) <= 32 or ord(c) > 126 for c in secret):
        raise BadInput("that is no secret: it looks like ls_0123456789ab_…, without spaces")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = directory / f".login-{os.getpid()}"
    try:
        _write(draft, secret)
        probe = Profile(user="", nats_url="", nats_creds="", api_url=api_url.rstrip("/"), api_token_file=str(draft))
        me = _asked(probe, Me, "/whoami")
        made = _made(directory, probe, nats=nats)
        draft.replace(directory / _TOKEN)
    finally:
        draft.unlink(missing_ok=True)
    final = msgspec.structs.replace(made, user=me.user or "nobody", api_token_file=str(directory / _TOKEN))
    _write(directory / _CLIENT, msgspec.json.format(msgspec.json.encode(final), indent=1).decode() + "\n")
    return me


def logout(directory: Path) -> bool:
    """Void this profile's NATS key and remove the profile; False if the api did not hear of it: its key ends by itself."""
    profile = load(directory)
    if profile.api_token_file != str(directory / _TOKEN):
        raise Refused(f"{directory} is the directory of a stack, which nobody logs out of: name a profile")
    told = True
    try:
        if profile.nats_creds:
            _asked(profile, Changed, "/logout", {"public_key": _public(Path(profile.nats_creds))})
    except LongshoreError:
        told = False
    shutil.rmtree(directory)
    return told


def renewed(directory: Path, profile: Profile) -> Profile:
    """The profile, logged in anew if its NATS credentials end soon. An api that is away matters once they have ended."""
    if not profile.expires or profile.expires - SystemClock().now() > RENEW:
        return profile
    try:
        made = _made(directory, profile, nats=True)
    except Unreachable:
        if profile.expires > SystemClock().now():
            return profile
        raise
    _write(directory / _CLIENT, msgspec.json.format(msgspec.json.encode(made), indent=1).decode() + "\n")
    return made


def _made(directory: Path, profile: Profile, *, nats: bool) -> Profile:
    """The profile with fresh NATS credentials, if there are any for us."""
    if not nats:
        return profile
    from longshore_common.adapters import nats_keys  # here: most commands are in time and need none of it

    seed = nats_keys.make_seed("user")
    got = _asked(profile, _Login, "/login", {"public_key": nats_keys.public_key(seed)})
    if not got.jwt:
        return msgspec.structs.replace(profile, nats_url="", nats_creds="", expires=0)
    creds = directory / _CREDS
    _write(creds, nats_keys.creds_text(got.jwt, seed))
    return msgspec.structs.replace(profile, nats_url=got.nats_url, nats_creds=str(creds), expires=got.expires)


def _public(creds: Path) -> str:
    from longshore_common.adapters import nats_keys

    seed = creds.read_text().partition("SEED-----\n")[2].partition("\n")[0]
    return nats_keys.public_key(seed)


def _asked(profile: Profile, kind: type[R], path: str, body: object = None) -> R:
    reader = Reader(profile, Bookmark(None), deadline=_PATIENCE)
    try:
        return reader.record(path, kind) if body is None else reader.send("POST", path, body, kind)
    finally:
        reader.close()


def _write(file: Path, text: str) -> None:
    """Replaced at once, 0600 from the start."""
    draft = file.with_name(f"{file.name}.{os.getpid()}.new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(file)
