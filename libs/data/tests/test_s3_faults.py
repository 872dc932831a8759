"""S3 when things go wrong: a front before a real server spoils single requests, or the server itself is killed."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longshore_data import uri
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.stores import s3_tries
from longshore_data.stores.s3 import S3Store, Sizes
from longshore_data.stores.s3_client import S3Settings
from longshore_data.transfer import Transfer

from .rclone_server import S3Server
from .s3_front import Asked, Front, Spoil

PART = 1 << 20
SMALL = Sizes(part=PART)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are short."""
    monkeypatch.setattr(s3_tries, "FIRST", 0.01)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    made = S3Server(tmp_path_factory.mktemp("faults") / "s3").start()
    made.make_bucket("b")
    yield made
    made.stop()


@pytest.fixture
async def front(server: S3Server) -> AsyncIterator[Front]:
    async with Front(server.port) as made:
        yield made


@asynccontextmanager
async def opened(server: S3Server, port: int, **environ: str) -> AsyncIterator[S3Store]:
    settings = {**server.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **environ}
    store = S3Store(S3Settings.from_environ(settings), sizes=SMALL)
    yield store
    await store.close()


@pytest.fixture
async def store(server: S3Server, front: Front) -> AsyncIterator[S3Store]:
    async with opened(server, front.port) as made:
        await made.listing(uri.parse("s3://b/nothing/"))  # what is made at the first use is made
        front.asked.clear()
        yield made


async def placed(server: S3Server, name: str, size: int) -> bytes:
    """An object of `size` bytes, stored past the front; it is then a file below the root of the server too."""
    data = os.urandom(size)
    async with opened(server, server.port) as store:
        await store.put_bytes(data, at(name))
    return data


def at(name: str) -> uri.Location:
    return uri.parse(f"s3://b/{name}")


Call = Callable[[S3Store, Path], Awaitable[object]]


def calls(server: S3Server, name: str) -> dict[str, Call]:
    """Every kind of request, on an object `name` that is there."""
    return {
        "fetch": lambda s, d: s.fetch(at(name), str(d / "got")),
        "put": lambda s, d: s.put(str(server.root / "b" / name), at(name + "-put")),
        "listing": lambda s, d: s.listing(uri.parse("s3://b/")),
        "stat": lambda s, d: s.stat(at(name)),
        "copy": lambda s, d: s.copy(at(name), at(name + "-copy"), 10),
        "digest": lambda s, d: s.digest(at(name)),
        "bytes": lambda s, d: s.read_bytes(at(name)),
        "drop": lambda s, d: s.drop(uri.parse("s3://b/"), [name + "-none"]),
    }


@pytest.mark.parametrize("what", calls(None, ""))  # type: ignore[arg-type]
@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
async def test_a_busy_server_is_asked_again(store, server, front, tmp_path, what, status, code):
    await placed(server, "busy", 10)
    front.first(3, Spoil(status, code))
    await calls(server, "busy")[what](store, tmp_path)
    assert len(front.asked) >= 4
    assert [a.target for a in front.asked[:4]] == [front.asked[0].target] * 4


@pytest.mark.parametrize("what", calls(None, ""))  # type: ignore[arg-type]
async def test_connections_that_break_before_the_answer_are_made_again(store, server, front, tmp_path, what):
    await placed(server, "broken", 10)
    front.first(2, Spoil(cut_sent=0, cut=0))
    await calls(server, "broken")[what](store, tmp_path)


async def test_a_server_that_stays_busy_is_given_up_with_what_it_said(store, front, tmp_path):
    front.spoil = lambda _: Spoil(503, "SlowDown")
    with pytest.raises(StoreError, match=r"fetching s3://b/x: the server answered 503 SlowDown \(said the test\)") as e:
        await store.fetch(at("x"), str(tmp_path / "x"))
    assert e.value.retriable
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", calls(None, ""))  # type: ignore[arg-type]
@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (403, "InvalidAccessKeyId"), (404, "NoSuchBucket"), (400, "InvalidArgument")],
)
async def test_a_definite_no_is_taken_for_one(store, server, front, tmp_path, what, status, code):
    await placed(server, "no", 10)
    front.spoil = lambda _: Spoil(status, code)
    with pytest.raises(StoreError, match=code if what not in ("stat", "digest") else str(status)) as caught:
        await calls(server, "no")[what](store, tmp_path)
    assert not caught.value.retriable
    assert len({(a.method, a.target) for a in front.asked}) == len(front.asked) <= 2  # botocore may ask for the region


async def test_what_is_not_there_is_told_once_with_the_fix(store, tmp_path):
    with pytest.raises(
        StoreError, match=r"looking at s3://b/none: the server answered 404 Not Found: correct the name$"
    ):
        await store.stat(at("none"))
    with pytest.raises(StoreError, match=r"fetching s3://b/none: the server answered 404 NoSuchKey(?! \(\))"):
        await store.fetch(at("none"), str(tmp_path / "none"))


async def test_what_is_not_there_is_missing(store, tmp_path):
    with pytest.raises(StoreError) as caught:
        await store.fetch(at("none"), str(tmp_path / "none"))
    assert caught.value.missing


async def test_a_download_goes_on_at_the_byte_where_it_broke(store, server, front, tmp_path):
    data = await placed(server, "long", 6 * PART + 77)
    cut: set[int] = set()

    def once_in_each_part(asked: Asked) -> Spoil | None:
        start = asked.span[0] if asked.span else -1
        if asked.method != "GET" or start % PART or start in cut:
            return None
        cut.add(start)
        return Spoil(cut=PART // 2) if start < 6 * PART else Spoil(cut=7)

    front.spoil = once_in_each_part
    meter = Meter()
    assert await store.fetch(at("long"), str(tmp_path / "long"), meter) == len(data)
    assert (tmp_path / "long").read_bytes() == data
    assert meter.done == len(data)
    assert len(cut) == 7
    again = [a.span for a in front.asked if a.span and a.span[0] % PART]
    assert len(again) == 7
    assert all(start - start // PART * PART in (PART // 2, 7) for start, _ in again)


async def test_a_server_without_ranges_is_asked_for_everything_again(store, server, front, tmp_path):
    data = await placed(server, "whole", 2 * PART)
    spoiled = 0

    def no_ranges(asked: Asked) -> Spoil:
        nonlocal spoiled
        spoiled += 1
        asked.headers.pop("range", None)
        return Spoil(headers={"Content-Range": "", "Content-Length": str(len(data))}, cut=PART if spoiled < 3 else -1)

    front.spoil = no_ranges
    meter = Meter()

    async def whole() -> None:
        await store.fetch(at("whole"), str(tmp_path / "whole"), meter)

    with pytest.raises(StoreError, match=r"stopped|broke off") as caught:
        await whole()  # the server behind does know ranges, so half of what it says is never sent
    assert caught.value.retriable
    assert meter.done == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [10, 3 * PART])
@pytest.mark.parametrize("said", [5, 9 * PART])
async def test_a_server_that_lies_about_sizes_is_not_believed(store, server, front, tmp_path, size, said):
    data = await placed(server, "lies", size)
    lie = Spoil(headers={"Content-Length": str(said), "Content-Range": ""}, cut=min(said, size))
    front.spoil = lambda a: lie if a.method == "GET" else None
    etags = "md5" if said < size else "sent"  # of a lie that fits the bytes that come, only their MD5 tells
    async with opened(server, front.port, LONGSHORE_S3_ETAGS=etags) as liar:
        with pytest.raises(StoreError, match="fetching s3://b/lies: "):
            await liar.fetch(at("lies"), str(tmp_path / "lies"))
    assert not list(tmp_path.iterdir())
    front.first(1, Spoil(headers={"Content-Length": str(said)}, cut=min(said, PART)), lambda a: a.method == "GET")
    await store.fetch(at("lies"), str(tmp_path / "lies"))
    assert (tmp_path / "lies").read_bytes() == data


async def test_one_part_of_an_upload_is_sent_again_and_no_other(store, server, front):
    data = await placed(server, "up", 5 * PART + 1)
    front.first(1, Spoil(cut_sent=PART // 2), lambda a: "partNumber=3" in a.target)
    meter = Meter()
    stored = await store.put(str(server.root / "b" / "up"), at("up-2"), meter)
    assert (stored.size, meter.done) == (len(data), len(data))
    sent = sorted(a.target.partition("partNumber=")[2][0] for a in front.asked if a.method == "PUT")
    assert sent == ["1", "2", "3", "3", "4", "5", "6"]
    assert (server.root / "b" / "up-2").read_bytes() == data


async def test_the_answer_to_a_finished_upload_may_be_lost(store, server, front):
    data = await placed(server, "fin", 2 * PART)
    front.first(1, Spoil(cut=0), lambda a: a.method == "POST" and "uploadId" in a.target)
    await store.put(str(server.root / "b" / "fin"), at("fin-2"))
    assert (server.root / "b" / "fin-2").read_bytes() == data


async def test_nothing_is_left_of_an_upload_that_failed(store, server, front):
    await placed(server, "fails", 3 * PART)
    front.spoil = lambda a: Spoil(403, "AccessDenied") if "partNumber=2" in a.target else None
    with pytest.raises(StoreError, match="AccessDenied") as caught:
        await store.put(str(server.root / "b" / "fails"), at("fails-2"))
    assert not caught.value.retriable
    assert [a.method for a in front.asked if "uploadId" in a.target and a.method == "DELETE"] == ["DELETE"]
    assert not (server.root / "b" / "fails-2").exists()


async def test_an_object_that_is_replaced_meanwhile_is_fetched_from_its_beginning(store, server, front, tmp_path):
    await placed(server, "new", 4 * PART)
    data = os.urandom(4 * PART)

    async def replaced(asked: Asked) -> None:
        if asked.span and asked.span[0] == 2 * PART and len(front.asked) < 8:
            async with opened(server, server.port) as other:
                await other.put_bytes(data, at("new"))

    front.before = replaced
    meter = Meter()
    await store.fetch(at("new"), str(tmp_path / "new"), meter)
    assert (tmp_path / "new").read_bytes() == data
    assert meter.done == len(data)


@pytest.mark.parametrize("size", [1000, 3 * PART])
async def test_bytes_damaged_on_their_way_here_are_noticed_and_fetched_again(store, server, front, tmp_path, size):
    data = await placed(server, "bad", size)
    front.first(1, Spoil(flip=500), lambda a: a.method == "GET")
    async with opened(server, front.port, LONGSHORE_S3_ETAGS="md5") as strict:
        await strict.fetch(at("bad"), str(tmp_path / "bad"))
    assert (tmp_path / "bad").read_bytes() == data


async def test_an_etag_that_is_no_md5_is_named_with_what_to_set(store, server, front, tmp_path):
    await placed(server, "odd", 1000)
    front.spoil = lambda _: Spoil(headers={"ETag": f'"{"a" * 32}"'})
    async with opened(server, front.port, LONGSHORE_S3_ETAGS="md5") as strict:
        with pytest.raises(StoreError, match="LONGSHORE_S3_ETAGS=opaque") as caught:
            await strict.fetch(at("odd"), str(tmp_path / "odd"))
    assert not caught.value.retriable
    async with opened(server, front.port, LONGSHORE_S3_ETAGS="opaque") as other:
        assert await other.fetch(at("odd"), str(tmp_path / "odd")) == 1000
    front.spoil = lambda _: Spoil(headers={"ETag": f'"{"a" * 32}"', "x-amz-server-side-encryption": "aws:kms"})
    async with opened(server, front.port, LONGSHORE_S3_ETAGS="md5") as strict:
        assert await strict.fetch(at("odd"), str(tmp_path / "odd")) == 1000


@pytest.mark.parametrize("size", [1000, 300 << 10])
async def test_bytes_damaged_on_their_way_there_are_noticed_and_sent_again(store, server, front, size):
    data = await placed(server, "out", size)
    front.first(1, Spoil(flip_sent=500), lambda a: a.method == "PUT")
    await store.put(str(server.root / "b" / "out"), at("out-2"))
    assert (server.root / "b" / "out-2").read_bytes() == data


@pytest.mark.parametrize("what", ["fetch", "put", "listing"])
@pytest.mark.parametrize("after", [0, PART // 2])
async def test_a_silent_server_is_left_within_a_second(store, server, front, tmp_path, what, after):
    await placed(server, "mute", 4 * PART)
    front.spoil = lambda _: Spoil(hang=after, hang_sent=after) if what != "listing" else Spoil(hang=0)
    meter = Meter()
    name = str(server.root / "b" / "mute")
    call = {
        "fetch": lambda: store.fetch(at("mute"), str(tmp_path / "mute"), meter),
        "put": lambda: store.put(name, at("mute-2"), meter),
        "listing": lambda: store.listing(uri.parse("s3://b/")),
    }[what]()
    running = asyncio.ensure_future(call)
    async with asyncio.timeout(10):
        while not front.asked or (after and what != "listing" and not meter.done):
            await asyncio.sleep(0.01)
    began = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 1
    assert meter.done < 4 * PART
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_server_that_is_killed_and_comes_back_costs_only_time(tmp_path, way):
    server = S3Server(tmp_path / "s3").start()
    server.make_bucket("b")
    data = await placed(server, "x", 12 * PART)
    (tmp_path / "here").mkdir()
    async with Front(server.port) as front, opened(server, front.port) as store:
        killed = asyncio.Event()

        def kill(asked: Asked) -> Spoil | None:
            if not killed.is_set() and len(front.asked) > 6:
                server.stop()
                killed.set()
            return None

        front.spoil = kill
        there, here = at("x"), str(tmp_path / "here" / "x")
        work = store.fetch(there, here) if way == "down" else store.put(str(server.root / "b" / "x"), at("y"))
        call = asyncio.ensure_future(work)
        async with asyncio.timeout(30):
            await killed.wait()
            server.start()
            await call
    got = tmp_path / "here" / "x" if way == "down" else server.root / "b" / "y"
    assert got.read_bytes() == data
    server.stop()


async def test_a_bucket_elsewhere_is_asked_where_it_is(store, server, front, tmp_path):
    await placed(server, "far", 10)

    def only_there(asked: Asked) -> Spoil | None:
        if "/eu-central-1/" in asked.headers["authorization"]:
            return None
        return Spoil(301, "PermanentRedirect", {"x-amz-bucket-region": "eu-central-1"})

    front.spoil = only_there
    assert await store.fetch(at("far"), str(tmp_path / "far")) == 10
    assert await store.fetch(at("far"), str(tmp_path / "far")) == 10
    assert len(front.asked) == 3


async def test_an_object_shorter_than_its_folders_list_said_is_not_taken(store, server, front, tmp_path):
    await placed(server, "list/short", 10)
    front.spoil = lambda a: (
        Spoil(headers={"Content-Length": "5", "Content-Range": ""}, cut=5)
        if a.method == "GET" and "short" in a.target
        else None
    )
    storage = Storage({}, stores={"s3": store})
    with pytest.raises(StoreError, match="5 bytes came where the list said 10") as caught:
        await Transfer(storage, Limits()).bring([uri.source("s3://b/list/")], str(tmp_path))
    assert caught.value.retriable
