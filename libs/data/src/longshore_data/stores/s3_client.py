"""The connection to S3: settings, one client per endpoint, and what its errors mean.

`aiobotocore` is imported in `Clients.get`, at the first use. What must not enter: objects and their bytes.
"""

import asyncio
import contextlib
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from longshore_data import disk
from longshore_data.store import StoreError

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

#: Seconds to connect, and seconds of silence.
CONNECT: Final = 5.0
READ: Final = 60.0

_PASSING_CODES: Final = frozenset({
    "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests", "RequestTimeout",
    "InternalError", "ServiceUnavailable", "OperationAborted", "BandwidthLimitExceeded",
    "RequestTimeTooSkewed", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",
})  # fmt: skip
_MISSING_CODES: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_FIXES: Final = {
    "NoSuchBucket": "make the bucket, or correct its name",
    "NoSuchKey": "correct the name",
    "404": "correct the name",
    "AccessDenied": "give these credentials the right to it, or correct its name",
    "InvalidAccessKeyId": "correct AWS_ACCESS_KEY_ID where this runs",
    "SignatureDoesNotMatch": "correct AWS_SECRET_ACCESS_KEY where this runs",
    "403": "correct the credentials where this runs",
}


class S3Settings(Struct, frozen=True, kw_only=True):
    """Where and as whom. Empty keys: what botocore finds (profile, instance role). `addressing`: auto, path or virtual.

    `anonymous`: as nobody, for public buckets. `etags`: what a bare ETag of
    32 hex digits is worth, which nearly everywhere is the MD5 of the object: `sent`, it is compared for what is sent; `md5`,
    for what is fetched as well, at a second of CPU per GB; `opaque`, it says nothing.
    """

    endpoint: str = ""
    access_key: str = ""
    secret_key: str = ""
    token: str = ""
    region: str = "us-east-1"
    addressing: str = "auto"
    anonymous: bool = False
    etags: str = "sent"

    def __repr__(self) -> str:
        return f"S3Settings({self.endpoint!r}, {self.access_key!r}, …)"

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "S3Settings":
        """From the variables that every S3 tool reads, and `LONGSHORE_S3_…`: `ADDRESSING`, `ETAGS`, `ANONYMOUS` (1)."""
        return cls(
            endpoint=environ.get("AWS_ENDPOINT_URL_S3", "") or environ.get("AWS_ENDPOINT_URL", ""),
            access_key=environ.get("AWS_ACCESS_KEY_ID", ""),
            secret_key=environ.get("AWS_SECRET_ACCESS_KEY", ""),
            token=environ.get("AWS_SESSION_TOKEN", ""),
            region=environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "") or "us-east-1",
            addressing=environ.get("LONGSHORE_S3_ADDRESSING", "auto"),
            anonymous=environ.get("LONGSHORE_S3_ANONYMOUS", "") in ("1", "true"),
            etags=environ.get("LONGSHORE_S3_ETAGS", "sent"),
        )

    @classmethod
    def from_remote(cls, section: Mapping[str, str]) -> "S3Settings":
        """From the section of an rclone configuration that has type s3."""
        endpoint = section.get("endpoint", "")
        own = section.get("env_auth", "false").lower() != "true"
        return cls(
            endpoint=endpoint if not endpoint or "://" in endpoint else f"https://{endpoint}",
            access_key=section.get("access_key_id", ""),
            secret_key=section.get("secret_access_key", ""),
            token=section.get("session_token", ""),
            region=section.get("region", "") or "us-east-1",
            addressing={"true": "path", "false": "virtual"}.get(section.get("force_path_style", "").lower(), "auto"),
            anonymous=own and not section.get("access_key_id"),
        )

    def style(self) -> str:
        """`path` at an endpoint of one's own (few have the wildcard DNS that virtual hosts need), as said otherwise."""
        return "path" if self.addressing == "auto" and self.endpoint else self.addressing


class Clients:
    """One client per endpoint and identity, made at first use, shared by all tasks."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._stack = contextlib.AsyncExitStack()
        self._clients: dict[S3Settings, S3Client] = {}
        self._lock = asyncio.Lock()

    async def get(self, settings: S3Settings) -> "S3Client":
        """The client for `settings`. The first one loads botocore in a thread, for it takes half a second."""
        if (client := self._clients.get(settings)) is not None:
            return client
        async with self._lock:
            if settings not in self._clients:
                session = await asyncio.to_thread(_session)
                make = _context(session, settings, self._connections)
                self._clients[settings] = await self._stack.enter_async_context(make)
        return self._clients[settings]

    async def credentials(self, settings: S3Settings) -> Any:
        """What botocore finds on this host as `access_key`, `secret_key`, `token`, renewed when due."""
        from botocore.exceptions import NoCredentialsError

        await self.get(settings)
        if (found := await _session().get_credentials()) is None:
            raise NoCredentialsError
        return await found.get_frozen_credentials()

    async def close(self) -> None:
        """Close every connection."""
        await self._stack.aclose()
        self._clients.clear()


@functools.cache
def _session() -> Any:
    """The one session of this process, with the description of S3 in its cache: half a second, once."""
    from aiobotocore.session import get_session

    session = get_session()
    for kind in ("service-2", "endpoint-rule-set-1"):
        session.get_component("data_loader").load_service_model("s3", kind)
    return session


def _context(session: Any, settings: S3Settings, connections: int) -> Any:
    from aiobotocore.config import AioConfig
    from botocore import UNSIGNED

    identity: Any = {"signature_version": UNSIGNED} if settings.anonymous else {}
    config = AioConfig(
        connect_timeout=CONNECT,
        read_timeout=READ,
        max_pool_connections=connections,
        retries={
            "mode": "standard",
            "total_max_attempts": 1,
        },  # `s3_tries` repeats, for these and our own requests alike
        request_checksum_calculation="when_required",  # other servers refuse trailers; we hash ourselves
        response_checksum_validation="when_required",
        s3={"addressing_style": settings.style()},
        warm_up_loader_caches=True,
        user_agent_extra="longshore",
        **identity,
    )
    return session.create_client(
        "s3",
        region_name=settings.region,
        endpoint_url=settings.endpoint or None,
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        aws_session_token=settings.token or None,
        config=config,
    )


class Answered(Exception):
    """An answer other than 2xx to one of our own requests: its status, and the code and the words in its body."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(status, code, text)
        self.status, self.code, self.text = status, code, text


class Changed(StoreError):
    """What was moved so far is worth nothing (another object stands there, an upload is forgotten): begin at the beginning."""

    def __init__(self, words: str) -> None:
        super().__init__(words, retriable=True)


class Damaged(Changed):
    """Bytes are not those that the server says they are."""


def translated(err: Exception, doing: str) -> StoreError:
    """The `StoreError` for what botocore, aiohttp or the disk raised while `doing`; an error of another kind is raised."""
    from aiohttp import ClientError as HttpError
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        HTTPClientError,
        NoCredentialsError,
    )  # fmt: skip
    from botocore.exceptions import ConnectionError as NoConnection

    match err:
        case StoreError():
            return err
        case Answered():
            return _answered((err.status, err.code, err.text), doing)
        case ClientError():
            said = err.response.get("Error", {})
            status = int(err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            return _answered((status, str(said.get("Code", "")), str(said.get("Message", ""))), doing)
        case NoCredentialsError():
            return StoreError(f"{doing}: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        case HTTPClientError() | NoConnection() | HttpError() | TimeoutError() | ConnectionError():
            return StoreError(f"{doing}: the server cannot be reached or broke off: {_line(err)}", retriable=True)
        case BotoCoreError():
            return StoreError(f"{doing}: {_line(err)}")
        case OSError():
            return disk.translated(err, doing)
    raise err


def _answered(said: tuple[int, str, str], doing: str) -> StoreError:
    """What the server answered, in its own words."""
    status, code, text = said
    passing = code in _PASSING_CODES or (status >= 500 and status != 501) or status in (408, 429)
    fix = f": {_FIXES[code]}" if code in _FIXES else ""
    if code in ("PreconditionFailed", "412"):
        return Changed(f"{doing}: the object changed meanwhile")
    said_so = text if code in ("", str(status)) else f"{code} ({text})" if text else code
    words = f"{doing}: the server answered {status} {said_so}{fix}"
    if code == "NoSuchUpload":
        return Changed(words)
    return StoreError(words, retriable=passing, missing=code in _MISSING_CODES and status in (0, 404))


def _line(err: Exception) -> str:
    text = " ".join(str(err).split())
    return f"{type(err).__name__}: {text[:200]}" if text else type(err).__name__
