"""How a host becomes a worker: it makes its own key, shows the join secret to the api, and keeps the credentials.

What must not enter: when to try again.
"""

import http.client
import json
import os
import socket
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from longshore_common.errors import BadInput, Refused, Unreachable


class Door(NamedTuple):
    """What a worker needs to connect: where, and its credentials file."""

    nats_url: str
    creds: str


def known(directory: Path) -> Door | None:
    """The credentials of an earlier enrolment, None if there are none."""
    creds, url = directory / "nats.creds", directory / "nats.url"
    if creds.is_file() and url.is_file():
        return Door(url.read_text().strip(), str(creds))
    return None


def enrol(directory: Path, worker: str, api_url: str, secret_file: str) -> Door:
    """Enrol and keep what came back (0600); a repeat replaces the public key.

    `Refused` if the join secret is wrong or expired, `Unreachable` if the api is away, `BadInput` for a wrong setting.
    """
    from longshore_common.adapters import nats_keys

    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    seed_file = directory / "worker.seed"
    if not seed_file.is_file():
        _write(seed_file, nats_keys.make_seed("user"))
    seed = seed_file.read_text()
    try:
        secret = Path(secret_file).read_text().strip()
    except OSError as err:
        raise BadInput(f"no join secret at {secret_file!r}: {err.strerror}; set LONGSHORE_JOIN_SECRET_FILE") from err
    answer = _post(api_url, secret, {"name": worker, "public_key": nats_keys.public_key(seed), "hostname": _hostname()})
    _write(directory / "nats.creds", nats_keys.creds_text(answer["jwt"], seed))
    _write(directory / "nats.url", answer["nats_url"])
    return Door(answer["nats_url"], str(directory / "nats.creds"))


def forget(directory: Path) -> None:
    """Drop credentials that were refused; the key stays."""
    (directory / "nats.creds").unlink(missing_ok=True)


def _hostname() -> str:
    return socket.gethostname()


def _post(api_url: str, secret: str, body: dict[str, str]) -> dict[str, str]:
    """The api's answer; 10 s for everything."""
    where = urllib.parse.urlsplit(api_url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "127.0.0.1", where.port, timeout=10)
    try:
        connection.request(
            "POST",
            where.path.rstrip("/") + "/api/v1/workers/enrol",
            json.dumps(body),
            {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        text = response.read(1 << 20)
    except (OSError, http.client.HTTPException) as err:
        raise Unreachable(f"the api at {api_url} does not answer ({err}); is it running?") from err
    finally:
        connection.close()
    if response.status in (401, 403):
        raise Refused(f"the api refused the join secret: {text[:300]!r}; ask for a new one")
    if response.status >= 500 or response.status == 429:
        raise Unreachable(f"the api at {api_url} answered {response.status}: {text[:300]!r}")
    if response.status >= 300:
        raise BadInput(f"the api refused this worker with {response.status}: {text[:300]!r}")
    try:
        answer = json.loads(text)
        return {"jwt": str(answer["jwt"]), "nats_url": str(answer["nats_url"])}
    except (ValueError, KeyError, TypeError) as err:
        raise Unreachable(f"the api at {api_url} answered something else than credentials: {text[:200]!r}") from err


def _write(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner only."""
    fresh = path.with_suffix(path.suffix + ".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(fd)
    fresh.rename(path)
