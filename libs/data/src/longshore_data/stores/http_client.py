"""One session of HTTP for the whole process, what an answer says about a file, and the words for what goes wrong.

What must not enter: where bytes go, when to ask for parts.
"""

import asyncio
import base64
import binascii
import re
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from longshore_data.store import StoreError
from longshore_data.stores.patience import Passing, Patience
from longshore_data.uri import Location, shown

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

#: Answers that may be others soon. Further 5xx are too, but for those the server will always give.
_PASSING: Final = (408, 425, 429)
_FINAL_5XX: Final = (501, 505, 510, 511)
_FIXES: Final = {
    400: "correct the URI",
    401: "it wants credentials: make a remote with them, or use a presigned URL",
    402: "its owner wants to be paid",
    403: "it forbids this: check the URI; a presigned URL may have expired; what is private needs a remote with credentials",
    404: "correct the URI",
    407: "the proxy wants credentials: set them in HTTPS_PROXY",
    410: "it is gone for good: use another source",
    451: "it may not be given out here",
}
#: Connections at once, in all and to one host.
CONNECTIONS: Final = 64
CONNECTIONS_PER_HOST: Final = 16
#: Redirects that are followed.
REDIRECTS: Final = 10
#: Bytes of an error's text that are shown.
SAID: Final = 200
#: What stays as it is in an address; all else is escaped.
_PLAIN: Final = "%/:?=&~+!$,;'@()*[]"

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Facts(NamedTuple):
    """What an answer says about the whole file: bytes (-1: nothing), validators, time of change, encoding, digests.

    `start`, `end`: what part of it the body is (`end` -1: unknown), both of `partial` answers and of others.
    """

    size: int
    etag: str
    changed: str
    encoding: str
    digests: Mapping[str, bytes]
    partial: bool
    start: int
    end: int

    @property
    def validator(self) -> str:
        """What If-Range may hold: a strong ETag, else the time of change; empty if there is neither."""
        return self.etag if self.etag.startswith('"') else self.changed

    @property
    def version(self) -> str:
        """What changes when the bytes do; empty if nothing does for sure."""
        if self.etag:
            return self.etag.removeprefix("W/").strip('"')
        return f"{self.changed} {self.size}" if self.changed else ""

    @property
    def modified(self) -> float:
        """Unix seconds, 0 if not known."""
        try:
            return parsedate_to_datetime(self.changed).timestamp() if self.changed else 0.0
        except ValueError:
            return 0.0

    def same(self, other: "Facts") -> bool:
        """Whether both are of one and the same file."""
        return (self.size, self.etag, self.changed) == (other.size, other.etag, other.changed)


class HttpClient:
    """The session, made at first use. `environ`: SSL_CERT_FILE; proxies are those of the process's environment."""

    def __init__(self, environ: Mapping[str, str], patience: Patience) -> None:
        self._cafile = environ.get("SSL_CERT_FILE") or None
        self._patience = patience
        self._session: ClientSession | None = None
        self._lock = asyncio.Lock()
        self._closed = False

    @asynccontextmanager
    async def ask(
        self, method: str, place: Location, headers: Mapping[str, str], doing: str
    ) -> "AsyncIterator[ClientResponse]":
        """The answer to one request, redirects followed, its body unread; what goes wrong until the end is translated."""
        from aiohttp import ClientError
        from yarl import URL

        session = await self._open()
        try:
            url = URL(
                quote(f"{place.scheme}://{place.bucket}/{place.key.partition('#')[0]}", safe=_PLAIN), encoded=True
            )
        except ValueError as err:
            raise StoreError(f"{doing}: that is no address of HTTP: {_line(err)}") from err
        try:
            async with session.request(
                method, url, headers={"Accept-Encoding": "identity", **headers}, max_redirects=REDIRECTS
            ) as answer:
                try:
                    yield answer
                finally:
                    answer.close()  # what is left of the body is not worth waiting for
        except (ClientError, TimeoutError, ConnectionError) as err:
            raise translated(err, doing) from err

    async def close(self) -> None:
        """Close every connection; none is made any more."""
        self._closed = True
        async with self._lock:
            if self._session is not None:
                await self._session.close()
                self._session = None

    async def _open(self) -> "ClientSession":
        if self._session is None:
            async with self._lock:
                if self._closed:
                    raise StoreError("this host is closing its connections", retriable=True)
                if self._session is None:
                    self._session = await self._made()
        return self._session

    async def _made(self) -> "ClientSession":
        aiohttp = await asyncio.to_thread(__import__, "aiohttp")
        context = await asyncio.to_thread(_tls, self._cafile)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, limit_per_host=CONNECTIONS_PER_HOST, ssl=context)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._patience.connect, sock_read=self._patience.silence
        )
        session: ClientSession = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trust_env=True,
            auto_decompress=False,
            read_bufsize=1 << 19,
            headers={"User-Agent": "longshore"},
        )
        return session


def facts(answer: "ClientResponse") -> Facts:
    """What this answer says about the file."""
    headers = answer.headers
    length = int(headers.get("Content-Length", -1)) if headers.get("Content-Length", "0").isdigit() else -1
    start, end, size = 0, length, length
    found = _RANGE.match(headers.get("Content-Range", "")) if answer.status in (206, 416) else None
    if found is not None:
        size = int(found[3]) if found[3] != "*" else -1
        start, end = (int(found[1]), int(found[2]) + 1) if found[1] else (0, 0)
    encoding = headers.get("Content-Encoding", "").strip().lower().removeprefix("x-")
    return Facts(
        size,
        headers.get("ETag", "").strip(),
        headers.get("Last-Modified", "").strip(),
        "" if encoding == "identity" else encoding,
        _digests(headers, whole=answer.status == 200 or (start == 0 and end == size)),
        answer.status == 206,
        start,
        end,
    )


async def refusal(answer: "ClientResponse", doing: str) -> StoreError:
    """The `StoreError` for an answer of status 400 and above, in the server's words."""
    status = answer.status
    kind = answer.headers.get("Content-Type", "")
    said = ""
    if "html" not in kind and answer.content_length != 0:
        said = " ".join((await answer.content.read(SAID)).decode(errors="replace").split())
    at = f" (redirected to {answer.url.host})" if answer.history else ""
    words = f"{doing}{at}: the server answered {status} {answer.reason}" + (f" ({shown(said)})" if said else "")
    if status in _PASSING or (status >= 500 and status not in _FINAL_5XX):
        return Passing(f"{words}: try again later", after=_asked(answer))
    fix = f": {_FIXES[status]}" if status in _FIXES else ""
    return StoreError(words + fix, missing=status in (404, 410))


def translated(err: Exception, doing: str) -> StoreError:
    """The `StoreError` for what aiohttp raised while `doing`."""
    import aiohttp

    match err:
        case aiohttp.TooManyRedirects():
            return StoreError(f"{doing}: more than {REDIRECTS} redirects: use the address they should lead to")
        case aiohttp.ClientConnectorSSLError() if "CERTIFICATE" not in str(err):
            return StoreError(f"{doing}: the server does not speak TLS as https:// needs it: {_line(err)}: try http://")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return StoreError(
                f"{doing}: its certificate cannot be trusted ({_line(err)}): "
                "name the file of its authority in the worker's SSL_CERT_FILE"
            )
        case aiohttp.ClientConnectorDNSError(os_error=OSError(errno=socket.EAI_NONAME)):
            return StoreError(f"{doing}: there is no host of that name: correct it", retriable=True)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return StoreError(f"{doing}: that is, or leads to, no address of HTTP: {_line(err)}")
        case TimeoutError():
            return Passing(f"{doing}: the server was silent for too long ({type(err).__name__})")
        case aiohttp.ClientError() | ConnectionError():
            return Passing(f"{doing}: the server cannot be reached or broke off: {_line(err)}")
    return StoreError(f"{doing}: the server's answer makes no sense: {_line(err)}")


def _asked(answer: "ClientResponse") -> float | None:
    """Seconds that Retry-After asks for: a number, or a date, which is taken against the server's own clock."""
    asked = answer.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        then = parsedate_to_datetime(asked)
        return max(0.0, (then - parsedate_to_datetime(answer.headers["Date"])).total_seconds())
    except (ValueError, KeyError, TypeError):
        return None


def _digests(headers: Mapping[str, str], *, whole: bool) -> dict[str, bytes]:
    """Digests of the file, by the names of hashlib: of Digest, Repr-Digest, x-goog-hash and Content-MD5."""
    found: dict[str, bytes] = {}
    stated = [*_all(headers, "Digest"), *_all(headers, "Repr-Digest"), *_all(headers, "x-goog-hash")]
    if headers.get("x-goog-stored-content-encoding", "identity") != "identity":
        stated = []  # digests there are of what is stored, which is not what is sent
    if whole and "Content-MD5" in headers:
        stated.append(f"md5={headers['Content-MD5']}")
    for one in stated:
        name, _, value = one.strip().partition("=")
        algorithm, size = {"md5": ("md5", 16), "sha-256": ("sha256", 32)}.get(name.lower(), ("", 0))
        try:
            raw = base64.b64decode(value.strip(":"), validate=True)
        except (binascii.Error, ValueError):
            continue
        if algorithm and len(raw) == size:
            found[algorithm] = raw
    return found


def _all(headers: Mapping[str, str], name: str) -> list[str]:
    """Every member of a header that is a list and may stand there more than once."""
    values: list[str] = headers.getall(name, []) if hasattr(headers, "getall") else [headers.get(name, "")]
    return [member for value in values for member in value.split(",") if member.strip()]


def _tls(cafile: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile)


def _line(err: Exception) -> str:
    text = shown(" ".join(str(err).split()))[:SAID]
    return f"{type(err).__name__}: {text}" if text else type(err).__name__
