"""Webhooks: signed so that a receiver knows them, and led nowhere but where the operator lets them."""

import asyncio
import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager, suppress

import pytest

from longshore_api.adapters.webhook import Gate, Webhooks, key_of
from longshore_common.errors import BadInput, Refused, Unreachable

SEED = "SA-of-the-test"
OPEN = Gate.of("127.0.0.0/8, ::1")


class Receiver:
    """A real HTTP server that remembers what it was sent."""

    def __init__(self) -> None:
        self.requests = []
        self.answers = []
        self.port = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    async def serve(self, reader, writer):
        try:
            await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # whoever asked spoke something else, or went
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((first, headers, body))
        writer.write((self.answers.pop(0) if self.answers else "HTTP/1.1 204 No Content\r\n\r\n").encode())
        await writer.drain()


@asynccontextmanager
async def receiving():
    one = Receiver()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        yield one


async def test_a_notice_can_be_verified_with_the_key_of_its_rule_and_no_other():
    hooks = Webhooks(OPEN, SEED)
    async with receiving() as receiver:
        await hooks.send("n1", receiver.url, "abc", json.dumps({"batch": "b"}), 1234.9)
    ((first, headers, body),) = receiver.requests
    assert first.startswith("POST /hook ")
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("abc", "1234")
    key = base64.b64decode(hooks.key("n1").removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, b"abc.1234." + body, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert hooks.key("n2") != hooks.key("n1") == key_of(SEED, "n1")


@pytest.mark.parametrize("status", ["500 Oops", "301 Moved\r\nLocation: http://127.0.0.1:1/", "404 Not Found"])
async def test_anything_but_2xx_is_not_taken_and_redirections_are_not_followed(status):
    async with receiving() as receiver:
        receiver.answers.append(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno")
        with pytest.raises(Unreachable, match=status[:3]):
            await Webhooks(OPEN, SEED).send("n1", receiver.url, "abc", "{}", 1)
    assert len(receiver.requests) == 1


async def test_a_receiver_that_is_not_there_is_unreachable():
    with pytest.raises(Unreachable):
        await Webhooks(OPEN, SEED).send("n1", "http://127.0.0.1:9/", "abc", "{}", 1)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f000001", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "192.168.1.1",
        "169.254.169.254", "[fe80::1]", "0.0.0.0", "[::]", "224.0.0.1", "[fd00::1]", "100.64.0.1", "[2002:7f00:1::]",
        "[64:ff9b::a00:1]",
    ],
)  # fmt: skip
async def test_what_only_this_host_can_reach_is_refused_however_it_is_written(host):
    with pytest.raises(BadInput, match="no public address"):
        Gate().check(f"http://{host}/hook")
    with pytest.raises(BadInput):
        await Webhooks(Gate(), SEED).send("n1", f"http://{host}/hook", "abc", "{}", 1)


async def test_a_name_that_leads_to_loopback_is_not_connected_to():
    async with receiving() as receiver:
        with pytest.raises(Unreachable, match="no public address"):
            await Webhooks(Gate(), SEED).send("n1", f"http://localhost:{receiver.port}/", "abc", "{}", 1)
        assert receiver.requests == []
        await Webhooks(OPEN, SEED).send("n1", f"http://localhost:{receiver.port}/", "abc", "{}", 1)
        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "url", ["ftp://example.org/", "https://", "https://u:p@example.org/", "nothing", "http://[::1"]
)
def test_what_is_no_address_of_a_webhook_is_refused(url):
    with pytest.raises(BadInput, match="webhook"):
        Gate().check(url)


def test_public_addresses_are_open():
    Gate().check("https://example.org/hook?x=1")
    assert Gate().open("93.184.216.34")
    assert Gate().open("2606:2800:220:1:248:1893:25c8:1946")


def test_what_the_operator_writes_must_be_networks():
    with pytest.raises(BadInput, match="LONGSHORE_WEBHOOK_ALLOW"):
        Gate.of("somewhere")


def test_without_a_seed_no_webhook_can_be_signed():
    with pytest.raises(Refused):
        Webhooks(OPEN, "").key("n1")


async def test_a_server_that_shows_no_valid_certificate_is_not_trusted():
    async with receiving() as receiver:
        with pytest.raises(Unreachable):
            await Webhooks(OPEN, SEED).send("n1", receiver.url.replace("http:", "https:"), "abc", "{}", 1)
