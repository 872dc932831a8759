"""Notices to webhooks: signed as https://www.standardwebhooks.com says, sent only to addresses that the operator lets in.

A user's URL must not lead the api to what only it can reach: loopback, private and link-local addresses are refused, by the
address that is really connected to, and redirections are not followed. What must not enter: what is told, and when.
"""

import asyncio
import base64
import errno
import hashlib
import hmac
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from longshore_common.errors import BadInput, Refused, Unreachable

#: Seconds for one notice, and bytes of an answer that are read.
DEADLINE: Final = 15.0
_ANSWER: Final = 2048
_NAT64: Final = IPv6Network("64:ff9b::/96")
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Gate:
    """Which addresses webhooks may have: all public ones, and those in networks that the operator names."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    @classmethod
    def of(cls, words: str) -> "Gate":
        """From a list with commas, such as `10.1.0.0/16,::1`. `BadInput` names what is no network."""
        try:
            return cls([ip_network(word.strip(), strict=False) for word in words.split(",") if word.strip()])
        except ValueError as err:
            raise BadInput(f"LONGSHORE_WEBHOOK_ALLOW: {err}: write networks such as 10.1.0.0/16, with commas") from err

    def open(self, address: str) -> bool:
        """Whether this address may be connected to."""
        found = ip_address(address.partition("%")[0])
        found = _carried(found) or found
        if any(found in network for network in self._allowed if network.version == found.version):
            return True
        return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)

    def check(self, url: str) -> None:
        """`BadInput` if no webhook can be there, as far as that can be seen without asking for its name."""
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError as err:
            raise BadInput(f"webhook: {url!r} is no address ({err})") from err
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
            raise BadInput("webhook: write https://host/path, without a user or password")
        literal = _literal(host)
        if literal is not None and not self.open(str(literal)):
            raise BadInput(
                f"webhook: {host} is no public address: an operator can open it with LONGSHORE_WEBHOOK_ALLOW"
            )

    async def resolved(self, host: str, port: int) -> list[dict[str, Any]]:
        """The addresses of a host that may be connected to, as aiohttp wants them; `OSError` if there are none."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        usable = [
            {"hostname": host, "host": str(where[0]), "port": port, "family": family, "proto": proto, "flags": 0}
            for family, _, proto, _, where in found
            if self.open(str(where[0]))
        ]
        if not usable:
            raise OSError(
                errno.EACCES, f"{host} has no public address: an operator can open it with LONGSHORE_WEBHOOK_ALLOW"
            )
        return usable


def _carried(address: Address) -> IPv4Address | None:
    """The address of version 4 that one of version 6 leads to: mapped, 6to4 (RFC 3056), Teredo, or by NAT64 (RFC 6052)."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def _literal(host: str) -> Address | None:
    """The address that a host is written as, also in the forms that only C knows (`127.1`, `0x7f000001`)."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def key_of(seed: str, rule: str) -> str:
    """The secret of a rule, from which its receiver knows that we sent it: derived, so that nobody keeps it."""
    return f"whsec_{base64.b64encode(hmac.digest(seed.encode(), f'webhook {rule}'.encode(), 'sha256')).decode()}"


def signed(key: str, ident: str, at: float, body: bytes) -> dict[str, str]:
    """The headers of a notice."""
    stamp = str(int(at))
    raw = base64.b64decode(key.removeprefix("whsec_"))
    signature = hmac.digest(raw, f"{ident}.{stamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": ident, "webhook-timestamp": stamp, "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        "Content-Type": "application/json", "User-Agent": "longshore",
    }  # fmt: skip


class Webhooks:
    """Sends them. `seed`: what their secrets are derived from, "" = none can be sent."""

    def __init__(self, gate: Gate, seed: str) -> None:
        self.gate, self._seed = gate, seed

    def key(self, rule: str) -> str:
        """The secret of a rule; `Refused` if this api cannot make any."""
        if not self._seed:
            raise Refused("webhooks cannot be signed: this api was started without a signing seed")
        return key_of(self._seed, rule)

    async def send(self, rule: str, url: str, ident: str, body: str, now: float) -> None:
        """Deliver one; `Unreachable` with the reason if the receiver did not take it (anything but 2xx)."""
        from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

        self.gate.check(url)
        data = body.encode()
        resolver: Any = _Resolver(self.gate)
        connector = TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
        try:
            async with (
                ClientSession(connector=connector, timeout=ClientTimeout(total=DEADLINE), trust_env=False) as session,
                session.post(
                    url, data=data, headers=signed(self.key(rule), ident, now, data), allow_redirects=False
                ) as answer,
            ):
                if not 200 <= answer.status < 300:
                    said = (await answer.content.read(_ANSWER)).decode(errors="replace").strip()
                    raise Unreachable(f"the receiver answered {answer.status}: {said[:200]}")
        except TimeoutError as err:
            raise Unreachable(f"the receiver did not answer within {DEADLINE:g} s") from err
        except (ClientError, OSError) as err:
            raise Unreachable(f"the receiver cannot be reached: {err}") from err


class _Resolver:
    """Names become addresses that the gate lets in, and no others: what aiohttp asks (`AbstractResolver`)."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[dict[str, Any]]:
        """See aiohttp."""
        return await self._gate.resolved(host, port)

    async def close(self) -> None:
        """Nothing is held."""
