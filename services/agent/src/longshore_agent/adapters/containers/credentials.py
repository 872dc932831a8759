"""Who we are to a registry: what `docker login` or `podman login` of the agent's user left in its files.

What must not enter: sending it, logging it. Nothing is remembered: a login takes effect with the next pull.
"""

import asyncio
import base64
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from longshore_agent.core.ports import ContainerError

HUB: Final = "https://index.docker.io/v1/"
#: Seconds a credential helper may take.
HELPER: Final = 10.0
_HELPER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")


def registry(image: str) -> str:
    """The registry that an image's name stands for; Docker Hub if it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


async def header(image: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The header that a pull of `image` takes, none if nobody logged in there. `ContainerError` (image) if a file is broken."""
    where = registry(image)
    for path in _files(environ):
        found = await _of_file(path, where, environ)
        if found:
            return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(found).encode()).decode()}
    return {}


def _files(environ: Mapping[str, str]) -> list[str]:
    """As the engines' own commands look for them."""
    home = environ.get("HOME", "") or os.path.expanduser("~")
    runtime = environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    named = environ.get("REGISTRY_AUTH_FILE", "")
    usual = [f"{runtime}/containers/auth.json", f"{environ.get('DOCKER_CONFIG', '') or home + '/.docker'}/config.json"]
    return [named] if named else usual


async def _of_file(path: str, where: str, environ: Mapping[str, str]) -> dict[str, str]:
    config = _read(path)
    auths, helpers = config.get("auths") or {}, config.get("credHelpers") or {}
    for name in _names(where):
        helper = helpers.get(name) or config.get("credsStore", "")
        if helper and (found := await _helped(str(helper), name, environ)):
            return found
        if name in auths and (found := _plain(path, name, auths[name])):
            return found
    return {}


def _read(path: str) -> dict[str, Any]:
    """The file; empty if it is not there."""
    try:
        with open(path, "rb") as file:
            config = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as err:
        raise ContainerError("image", f"the registry logins in {path} cannot be read: {type(err).__name__}") from None
    return config if isinstance(config, dict) else {}


def _names(where: str) -> list[str]:
    """The spellings under which a registry stands in such files."""
    if where == "docker.io":
        return [HUB, "docker.io", "index.docker.io", "https://index.docker.io"]
    return [where, f"https://{where}", f"http://{where}", f"https://{where}/v1/", f"https://{where}/v2/"]


def _plain(path: str, name: str, entry: Any) -> dict[str, str]:
    """One entry of `auths`: a token, or user and password in base64."""
    if not isinstance(entry, dict):
        return {}
    if token := entry.get("identitytoken"):
        return {"identitytoken": str(token), "serveraddress": name}
    user, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except ValueError:
            raise ContainerError("image", f"the login for {name} in {path} is not base64: log in again") from None
    return {"username": user, "password": password.rstrip("\0"), "serveraddress": name} if user else {}


async def _helped(helper: str, name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the program `docker-credential-<helper>` says; nothing if it knows none, is not there, or takes too long."""
    if not _HELPER_NAME.fullmatch(helper):
        return {}
    pipe = asyncio.subprocess.PIPE
    with suppress(OSError, ValueError, KeyError, TimeoutError):
        program = f"docker-credential-{helper}"
        process = await asyncio.create_subprocess_exec(
            program, "get", stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL, env=dict(environ)
        )
        try:
            async with asyncio.timeout(HELPER):
                said, _ = await process.communicate(name.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        answer = json.loads(said)
        user, secret = str(answer["Username"]), str(answer["Secret"])
        if user == "<token>":
            return {"identitytoken": secret, "serveraddress": name}
        return {"username": user, "password": secret, "serveraddress": name}
    return {}
