"""Output that only the worker's own credentials reach: the api asks the worker, and says so when that fails."""

import json

import pytest

from longshore_api.adapters.output import Outputs, Span
from longshore_common import subjects
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import Refused, Unreachable
from longshore_common.model import Output

STORED = Output(10_000, "tail", False, "", "s3://logs/out/7.0.1.stdout#1")


async def _worker(hub: Hub, header: dict[str, object], data: bytes) -> list[dict[str, object]]:
    asked: list[dict[str, object]] = []

    async def answer(body: bytes) -> bytes:
        asked.append(json.loads(body))
        return json.dumps(header).encode() + b"\n" + data

    await hub.connect("worker", "w1").hints.answer(subjects.ask_output("w1"), answer)
    return asked


async def test_bytes_come_from_the_worker_that_stored_them():
    hub = Hub()
    asked = await _worker(hub, {"offset": 9_990, "size": 0, "ended": True}, b"0123456789")
    part = await Outputs(hub.connect("api")).stored(STORED, Span(9_990, 100), "w1")
    assert (part.data, part.ended) == (b"0123456789", True)
    assert (asked[0]["stored"], asked[0]["offset"]) == (STORED.stored, 9_990)


async def test_what_the_worker_cannot_read_is_refused_with_its_reason_and_the_address():
    hub = Hub()
    await _worker(hub, {"offset": 0, "size": 0, "ended": True, "error": "NoSuchKey"}, b"")
    with pytest.raises(Refused, match=r"NoSuchKey.*s3://logs/out"):
        await Outputs(hub.connect("api")).stored(STORED, Span(0, 100), "w1")


async def test_without_the_worker_the_address_is_told():
    with pytest.raises(Unreachable, match="s3://logs/out"):
        await Outputs(Hub().connect("api")).stored(STORED, Span(0, 100), "w1")
