"""Texts that only one worker can read, sealed with the key it enrolled with: its NATS user key, an nkey.

An nkey is an Ed25519 key in base32 with a kind and a checksum; a sealed box of NaCl wants its X25519 form. What must not
enter: what is sealed, keys other than workers'.
"""

import base64
import binascii
from typing import TYPE_CHECKING, Final, NamedTuple

from longshore_common.errors import BadInput

if TYPE_CHECKING:
    from nacl.public import PrivateKey, PublicKey

_USER: Final = 20 << 3  # the kind of a user's key: U in base32
_SEED: Final = 18 << 3  # the first byte of every seed: S


def seal(text: str, public_key: str) -> str:
    """`text` in a box (base64) that only the holder of this key's seed opens; each time another box. `BadInput`: no key."""
    from nacl.public import SealedBox

    return base64.b64encode(SealedBox(_public(public_key)).encrypt(text.encode())).decode()


class Opener(NamedTuple):
    """What boxes hold, in the words of errors, and the command that makes them anew."""

    what: str
    command: str

    def open(self, box: str, seed: str) -> str:
        """The text of a box sealed for the key of this seed. `BadInput` if it was sealed for another key, or is no box."""
        from nacl.exceptions import CryptoError
        from nacl.public import SealedBox

        key = _private(seed)
        try:
            return SealedBox(key).decrypt(base64.b64decode(box, validate=True)).decode()
        except (CryptoError, ValueError) as err:
            raise BadInput(
                f"this box was sealed for another key than this worker's, or was damaged: share the {self.what} again with "
                f"`{self.command}`, which takes the key that the worker enrolled with"
            ) from err


def open_box(box: str, seed: str) -> str:
    """The remotes in a box: see `Opener.open`."""
    return Opener("remotes", "longshore remote share").open(box, seed)


def seed_of(text: str) -> str:
    """The seed in the text of a seed file or a credentials file. `BadInput`, which shows nothing, if there is none."""
    for line in text.splitlines():
        word = line.strip()
        if word.startswith("SU") and len(word) == 58:
            return word
    raise BadInput("there is no seed of a NATS user here")


def _public(public_key: str) -> "PublicKey":
    from nacl.exceptions import CryptoError
    from nacl.signing import VerifyKey

    raw = _decoded(public_key)
    if len(raw) != 33 or raw[0] != _USER:
        raise BadInput(f"{public_key!r} is not the public key of a worker: it begins with U and has 56 characters")
    try:
        return VerifyKey(raw[1:]).to_curve25519_public_key()
    except (CryptoError, RuntimeError) as err:
        raise BadInput(f"{public_key!r} is no point of the curve: enrol the worker again") from err


def _private(seed: str) -> "PrivateKey":
    from nacl.signing import SigningKey

    raw = _decoded(seed)
    if len(raw) != 34 or raw[0] & 0b11111000 != _SEED or (raw[0] & 0b111) << 5 | raw[1] >> 3 != _USER:
        raise BadInput("not the seed of a NATS user: it begins with SU and has 58 characters")
    return SigningKey(raw[2:]).to_curve25519_private_key()


def _decoded(text: str) -> bytes:
    """The bytes of an nkey without its checksum, which must be right; empty if it is none."""
    try:
        raw = base64.b32decode(text.strip() + "=" * (-len(text.strip()) % 8))
    except (binascii.Error, ValueError):
        return b""
    body, check = raw[:-2], raw[-2:]
    return body if binascii.crc_hqx(body, 0).to_bytes(2, "little") == check else b""
