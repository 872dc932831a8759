"""The requests to S3 that carry bytes: signed here, sent over one pool of connections, read and sent in small pieces.

botocore spends a millisecond of CPU on each request, five times what all the rest of fetching a small object costs, so
only requests without a body go through it. What must not enter: when to repeat, files that appear, error words.
"""

import hashlib
import hmac
import os
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote
from urllib.request import getproxies, proxy_bypass

from msgspec.structs import replace

from longshore_common.clock import SystemClock
from longshore_data.meter import UNMETERED, Meter
from longshore_data.store import StoreError
from longshore_data.stores.s3_client import CONNECT, READ, Answered, Clients, S3Settings
from longshore_data.uri import Location

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

#: Bytes handed to the connection at once; the meter is asked between them.
SEND: Final = 256 << 10
#: The digest of no bytes at all.
NOTHING: Final = hashlib.sha256(b"").hexdigest()
#: Bytes of an error that are read.
_ERROR: Final = 64 << 10
_NONE: Final[Mapping[str, str]] = {}
_MD5: Final = re.compile(r"[0-9a-f]{32}")


class Keys(NamedTuple):
    """As whom a request is made; no access key: as nobody."""

    access: str = ""
    secret: str = ""
    token: str = ""

    def __repr__(self) -> str:
        return f"Keys({self.access!r}, …)"


class Span(NamedTuple):
    """Bytes `start` up to `end` of an open file, and what they hash to: to be sent as one body."""

    fd: int
    start: int
    end: int
    sha256: str


class Asked(NamedTuple):
    """What is signed: method, URL as it is sent (host, path, query), the digest of the body, headers beside."""

    method: str
    host: str
    path: str
    query: str
    digest: str
    headers: Mapping[str, str]


def signed(asked: Asked, keys: Keys, region: str, now: float) -> dict[str, str]:
    """The headers of `asked` with an AWS signature, version 4, for Unix time `now`.

    The digest of the body is part of what is signed, so a server that checks it refuses a body that was damaged on the
    way. Source: "Signature Calculations for the Authorization Header", Amazon S3 API Reference.
    """
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {k.lower(): v for k, v in asked.headers.items()}
    headers |= {"host": asked.host, "x-amz-content-sha256": asked.digest, "x-amz-date": at}
    if not keys.access:
        return headers
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in sorted(headers))
    request = f"{asked.method}\n{asked.path}\n{asked.query}\n{lines}\n{names}\n{asked.digest}"
    scope = f"{at[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = b"AWS4" + keys.secret.encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers


class Base(NamedTuple):
    """Where the objects of a bucket are: their address up to the key, the region that signatures name, the way there."""

    scheme: str
    host: str
    path: str
    region: str
    proxy: str | None = None


class Wire:
    """GET and PUT of bytes. Raises `Answered` for any answer but 2xx, and what `aiohttp` raises. One try each."""

    def __init__(self, clients: Clients, settings: S3Settings, connections: int) -> None:
        self._clients, self._settings, self._connections = clients, settings, connections
        self._session: ClientSession | None = None
        self._bases: dict[str, Base] = {}
        self._now = SystemClock().now

    @asynccontextmanager
    async def get(self, place: Location, span: tuple[int, int] | None = None) -> "AsyncIterator[ClientResponse]":
        """The answer to a GET of an object, or of the bytes from `span[0]` up to `span[1]`; the body is yet to be read."""
        headers = {"range": f"bytes={span[0]}-{span[1] - 1}"} if span else {}
        async with self._ask(place, _Request("GET", headers)) as answer:
            yield answer

    async def page(self, bucket: str, query: Mapping[str, str]) -> bytes:
        """The answer to a GET of the bucket itself: some of what is in it, as XML."""
        async with self._ask(Location("s3", bucket, ""), _Request("GET", query=query)) as answer:
            return await answer.read()

    async def put(
        self, place: Location, body: Span | bytes, meter: Meter = UNMETERED, **named: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Store `body`; the headers of the answer. `named`: `query` (of a part) and `headers`.

        What `meter` counted of a try that failed is taken back.
        """
        send = _Request("PUT", **named)
        send.body, send.meter = body, meter
        try:
            async with self._ask(place, send) as answer:
                await answer.read()
                return answer.headers
        except BaseException:
            await send.take_back()
            raise

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def _ask(self, place: Location, send: "_Request") -> "AsyncIterator[ClientResponse]":
        try:
            async with self._once(place, send) as answer:
                yield answer
        except Elsewhere as moved:
            self._bases[place.bucket] = await self._base(place.bucket, moved.region)
            await send.take_back()
            async with self._once(place, send) as answer:
                yield answer

    @asynccontextmanager
    async def _once(self, place: Location, send: "_Request") -> "AsyncIterator[ClientResponse]":
        """One request; what it answers is given out if it is 2xx."""
        from yarl import URL

        session = self._opened()
        if (base := self._bases.get(place.bucket)) is None:
            base = self._bases[place.bucket] = await self._base(place.bucket, "")
        path = base.path + quote(place.key, safe="/~")
        asks = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(send.query.items()))
        asked = Asked(send.method, base.host, path, asks, send.digest, send.headers)
        headers = signed(asked, await self._keys(), base.region, self._now())
        if send.method == "PUT":
            headers["content-length"] = str(send.size)
        url = URL(f"{base.scheme}://{base.host}{path}{'?' if asks else ''}{asks}", encoded=True)
        data = send.pieces() if send.size else None
        async with session.request(
            send.method, url, headers=headers, data=data, allow_redirects=False, proxy=base.proxy
        ) as answer:
            if not 200 <= answer.status < 300:
                raise await self._refused(answer, base)
            yield answer

    async def _refused(self, answer: "ClientResponse", base: Base) -> Exception:
        """What an answer other than 2xx means."""
        text = (await answer.content.read(_ERROR)).decode(errors="replace")
        region = answer.headers.get("x-amz-bucket-region") or _said("Region", text)
        if answer.status in (301, 307, 400) and region not in ("", base.region):
            return Elsewhere(region)
        return Answered(answer.status, _said("Code", text) or str(answer.status), _said("Message", text))

    async def _base(self, bucket: str, region: str) -> Base:
        """Asks botocore, which knows all rules of addresses, where an object of this bucket would be."""
        settings = replace(self._settings, region=region) if region else self._settings
        client: Any = await self._clients.get(settings)
        url = await client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "x"})
        scheme, _, rest = url.partition("?")[0].removesuffix("x").partition("://")
        host, slash, path = rest.partition("/")
        proxy = None if proxy_bypass(host) else getproxies().get(scheme)  # aiohttp would look at every request
        return Base(scheme, host, slash + path, client.meta.region_name, proxy)

    async def _keys(self) -> Keys:
        if self._settings.anonymous:
            return Keys()
        if self._settings.access_key:
            return Keys(self._settings.access_key, self._settings.secret_key, self._settings.token)
        found = await self._clients.credentials(self._settings)
        return Keys(found.access_key, found.secret_key, found.token or "")

    def _opened(self) -> "ClientSession":
        if self._session is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

            context = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE") or None)
            self._session = ClientSession(
                connector=TCPConnector(limit=self._connections, ssl=context, keepalive_timeout=12),
                timeout=ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ),
                headers={"accept-encoding": "identity", "user-agent": "longshore"},
                skip_auto_headers=("content-type", "accept"),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=2 * SEND,
            )
        return self._session


class Elsewhere(Exception):
    """The bucket is in another region: not an error, but a second request."""

    def __init__(self, region: str) -> None:
        super().__init__(region)
        self.region = region


class _Request:
    """A method with its headers, query and body, and how much of the body has been put on the line."""

    def __init__(self, method: str, headers: Mapping[str, str] = _NONE, query: Mapping[str, str] = _NONE) -> None:
        self.method, self.headers, self.query = method, headers, query
        self.body: Span | bytes = b""
        self.meter: Meter = UNMETERED
        self._done = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return self.body.end - self.body.start if isinstance(self.body, Span) else len(self.body)

    @property
    def digest(self) -> str:
        """The sha256 of the body in hex."""
        if isinstance(self.body, Span):
            return self.body.sha256
        return hashlib.sha256(self.body).hexdigest() if self.body else NOTHING

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece, at the pace of the meter. The file is in the page cache: it has just been hashed."""
        body = self.body
        start, end = (body.start, body.end) if isinstance(body, Span) else (0, len(body))
        for at in range(start, end, SEND):
            due = min(SEND, end - at)
            piece = os.pread(body.fd, due, at) if isinstance(body, Span) else body[at : at + due]
            if len(piece) < due:
                raise StoreError("the file became shorter while it was read")
            yield piece
            self._done += due
            await self.meter.moved(due)

    async def take_back(self) -> None:
        """What was sent was for nothing, and has to go again."""
        back, self._done = self._done, 0
        await self.meter.moved(-back)


def etag(headers: Mapping[str, str]) -> str:
    """The ETag of an answer, without quotes; empty if it has none."""
    return headers.get("ETag", "").strip('"')


def md5(headers: Mapping[str, str]) -> str:
    """The MD5 of the object or part that an answer is about, where its ETag is one; else empty.

    An ETag with a dash is that of parts; under keys of a key service or of the customer it says nothing.
    """
    tag = etag(headers)
    sealed = headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
    sealed = sealed or "x-amz-server-side-encryption-customer-algorithm" in headers
    return tag if not sealed and _MD5.fullmatch(tag) else ""


def _said(tag: str, text: str) -> str:
    found = re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return unescape(found.group(1)).strip() if found else ""
