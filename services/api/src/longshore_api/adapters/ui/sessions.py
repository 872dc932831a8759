"""Sessions: a signed cookie that names a credential, and the stamp that every form carries.

The cookie holds no secret and is believed only as long as its credential is: each request asks again, on every replica. What
must not enter: which credentials there are (see `doors`), pages.
"""

import base64
import binascii
import hmac
import secrets
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

import msgspec

#: Seconds after which one signs in again.
LASTS: Final = 12 * 3600
#: Browsers accept the first only from https, for this host and all its paths.
SECURE_NAME, PLAIN_NAME = "__Host-longshore", "longshore"
#: Sessions that ended before their time, remembered until they would have.
_MOST_ENDED: Final = 10_000

_encode: Final = msgspec.json.Encoder().encode


class _Written(msgspec.Struct, array_like=True, frozen=True):
    credential: str
    began: int
    nonce: str


class Session(NamedTuple):
    """An open session: whose credential, since when (Unix seconds), and what makes it different from all others."""

    credential: str
    began: int
    nonce: str


_read: Final = msgspec.json.Decoder(_Written).decode


def key(seed: str) -> bytes:
    """The key of all replicas, derived from what only they hold; one of this process's own without it."""
    return (
        blake2b(b"longshore ui sessions", key=sha256(seed.encode()).digest()).digest()
        if seed
        else secrets.token_bytes(32)
    )


class Sessions:
    """Opens, reads and ends sessions, and stamps their forms."""

    def __init__(self, signing: bytes) -> None:
        self._key = signing
        self._ended: dict[str, int] = {}

    def opened(self, credential: str, now: float) -> str:
        """The value of a new cookie."""
        body = _encode(_Written(credential, int(now), secrets.token_urlsafe(12)))
        return f"{_text(body)}.{_text(self._signed(b'session', body))}"

    def read(self, cookie: str, now: float) -> Session | None:
        """The session of a cookie, None if it is none of ours, is over, or was ended here."""
        body_text, _, signature = cookie.partition(".")
        try:
            body, signed = _bytes(body_text), _bytes(signature)
            if not hmac.compare_digest(signed, self._signed(b"session", body)):
                return None
            written = _read(body)
        except (ValueError, binascii.Error, msgspec.MsgspecError):
            return None
        if not written.began - 60 <= now < written.began + LASTS or written.nonce in self._ended:
            return None
        return Session(written.credential, written.began, written.nonce)

    def end(self, session: Session, now: float) -> None:
        """It is over before its time, for this process; its cookie is taken back as well."""
        self._ended = {nonce: until for nonce, until in self._ended.items() if until > now}
        if len(self._ended) < _MOST_ENDED:
            self._ended[session.nonce] = session.began + LASTS

    def stamp(self, session: Session) -> str:
        """What a form of this session carries and another site cannot know."""
        return _text(self._signed(b"form", session.nonce.encode()))

    def stamped(self, session: Session, stamp: str) -> bool:
        """Whether a form is of this session."""
        return hmac.compare_digest(stamp.encode(), self.stamp(session).encode())

    def _signed(self, purpose: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, purpose + b"\0" + body, "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
