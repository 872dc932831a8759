"""`http://` over a real server on loopback that fails in every way: what lands is whole, or an error says what to do."""

import asyncio
import base64
import gzip
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longshore_data import uri
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.stores.http import HttpStore
from longshore_data.stores.http_parts import Width
from longshore_data.stores.patience import Patience
from longshore_data.transfer import Transfer

from .servers import Fault, HttpServer, Served, certified

DATA = os.urandom(3_000_000)
QUICK = Patience(tries=4, first=0.001, longest=0.002, asked=5, connect=2, silence=0.3)


@pytest.fixture
async def server() -> AsyncIterator[HttpServer]:
    made = await HttpServer().start()
    yield made
    await made.stop()


@pytest.fixture
async def store() -> AsyncIterator[HttpStore]:
    made = HttpStore({}, patience=QUICK, width=Width(lanes=4, above=1 << 20, part=1 << 19))
    yield made
    await made.close()


@pytest.fixture
async def narrow() -> AsyncIterator[HttpStore]:
    made = HttpStore({}, patience=QUICK, width=Width(lanes=1))
    yield made
    await made.close()


def serve(server: HttpServer, served: Served, path: str = "/f") -> uri.Location:
    server.paths[path] = served
    return uri.parse(server.url(path))


async def fetched(store: HttpStore, place: uri.Location, folder: Path, meter: Meter | None = None) -> bytes:
    target = folder / "landed"
    size = await store.fetch(place, str(target), meter or Meter())
    data = target.read_bytes()
    assert size == len(data)
    assert os.listdir(folder) == ["landed"]
    return data


async def refused(store: HttpStore, place: uri.Location, folder: Path) -> StoreError:
    with pytest.raises(StoreError) as err:
        await store.fetch(place, str(folder / "landed"))
    assert os.listdir(folder) == []
    return err.value


async def test_a_file_lands_whole_by_parallel_ranges_of_one_version(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    place, meter = serve(server, Served(DATA)), Meter()
    server.together = 4
    assert await fetched(store, place, tmp_path, meter) == DATA
    assert meter.done == len(DATA)
    assert all(r.headers.get("if-range", '"one"') == '"one"' for r in server.requests)
    assert all(r.headers["accept-encoding"] == "identity" for r in server.requests)


async def test_aria2_asks_by_five_connections(server: HttpServer, narrow: HttpStore, tmp_path: Path) -> None:
    data = DATA * 10
    server.together = 5
    assert await fetched(narrow.with_options(("aria2",)), serve(server, Served(data)), tmp_path) == data
    assert len(server.requests) == -(-len(data) // (4 << 20))
    assert narrow.with_options(()) is narrow


@pytest.mark.parametrize("served", [
    Served(DATA, ranges=False), Served(DATA, chunked=True), Served(DATA, etag=""), Served(b""), Served(b"", ranges=False),
    Served(DATA, etag='W/"weak"', modified="Wed, 21 Oct 2015 07:28:00 GMT"), Served(DATA, etag="", length=-2, ranges=False),
], ids=["no ranges", "chunked", "no validator", "empty", "empty, no ranges", "weak", "no length"])  # fmt: skip
async def test_servers_that_can_little_are_enough(
    server: HttpServer, store: HttpStore, tmp_path: Path, served: Served
) -> None:
    assert await fetched(store, serve(server, served), tmp_path) == served.data


async def test_a_cut_connection_goes_on_where_it_was_cut(server: HttpServer, narrow: HttpStore, tmp_path: Path) -> None:
    place, meter = serve(server, Served(DATA, faults=[Fault(cut=1_200_000), Fault(cut=1_100_000)])), Meter()
    assert await fetched(narrow, place, tmp_path, meter) == DATA
    starts = [int(r.headers["range"].split("=")[1].split("-")[0]) for r in server.requests]
    assert starts[0] == 0 < starts[1] <= 1_200_000 < starts[2] <= 2_300_000
    assert server.requests[1].headers["if-range"] == '"one"'
    assert meter.done == len(DATA)


async def test_a_task_gets_its_files_by_the_door_that_all_schemes_share(server: HttpServer, tmp_path: Path) -> None:
    serve(server, Served(gzip.compress(DATA)), "/db.gz?v=1")
    server.paths["/db.gz"] = server.paths.pop("/db.gz?v=1")
    serve(server, Served(b"list"), "/list.txt")
    storage = Storage({})
    wanted = [server.url("/db.gz?v=1").replace("://", "@aria2://") + "|gunzip", server.url("/list.txt") + "|mv:in"]
    meter = Meter()
    await Transfer(storage, Limits(4)).bring([uri.source(w) for w in wanted], str(tmp_path), meter)
    assert (tmp_path / "db").read_bytes() == DATA
    assert (tmp_path / "in/list.txt").read_bytes() == b"list"
    await storage.close()


async def test_many_cuts_do_not_matter_as_long_as_each_try_gains(
    server: HttpServer, narrow: HttpStore, tmp_path: Path
) -> None:
    data = DATA * 7
    place = serve(server, Served(data, faults=[Fault(cut=2_300_000)] * 8))
    assert await fetched(narrow, place, tmp_path) == data


async def test_cuts_in_parallel_ranges_are_mended(server: HttpServer, store: HttpStore, tmp_path: Path) -> None:
    place = serve(server, Served(DATA, faults=[Fault(), Fault(cut=1000), Fault(), Fault(status=503)]))
    assert await fetched(store, place, tmp_path) == DATA


async def test_a_server_with_room_for_one_connection_is_not_asked_by_four_for_ever(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    server.room = 1
    assert await fetched(store, serve(server, Served(DATA * 4)), tmp_path) == DATA * 4


async def test_a_cut_without_ranges_or_validator_begins_anew(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    for served in (Served(DATA, ranges=False), Served(DATA, etag=""), Served(DATA, chunked=True)):
        meter = Meter()
        served.faults = [Fault(cut=900_000)]
        assert await fetched(store, serve(server, served), tmp_path, meter) == DATA
        assert meter.done == len(DATA)


@pytest.mark.parametrize("careless", [False, True])
@pytest.mark.parametrize("lanes", [1, 4])
async def test_a_file_that_changes_meanwhile_is_begun_anew(
    server: HttpServer, tmp_path: Path, lanes: int, careless: bool
) -> None:
    served = Served(DATA, faults=[Fault(cut=500_000)], careless=careless)
    place, other = serve(server, served), os.urandom(len(DATA))
    store = HttpStore({}, patience=QUICK, width=Width(lanes=lanes, above=1 << 20, part=1 << 20))

    class Changes(Meter):
        async def moved(self, size: int) -> None:
            served.data, served.etag = other, '"two"'
            await super().moved(size)

    meter = Changes()
    assert await fetched(store, place, tmp_path, meter) == other
    assert meter.done == len(other)
    await store.close()


async def test_a_file_that_never_stays_the_same_is_an_error(
    server: HttpServer, narrow: HttpStore, tmp_path: Path
) -> None:
    served = Served(DATA, faults=[Fault(cut=100_000)] * 20)
    place = serve(server, served)

    class Changes(Meter):
        async def moved(self, size: int) -> None:
            served.etag += "x"

    with pytest.raises(StoreError, match=r"changed meanwhile|broke off") as err:
        await narrow.fetch(place, str(tmp_path / "f"), Changes())
    assert err.value.retriable
    assert os.listdir(tmp_path) == []


async def test_a_body_shorter_than_it_says_is_an_error_that_may_pass(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    err = await refused(store, serve(server, Served(b"short", length=500, ranges=False)), tmp_path)
    assert err.retriable
    assert server.url("/f") in str(err)


async def test_bytes_beyond_what_the_server_announced_are_not_taken(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    place = serve(server, Served(b"x" * 900, ranges=False, length=500))
    (landed,) = await asyncio.gather(fetched(store, place, tmp_path), return_exceptions=True)
    if landed != b"x" * 500:  # it all came in one packet, so that it was seen
        assert isinstance(landed, StoreError)
        assert landed.retriable
        assert len(str(landed)) < 400


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 522])
async def test_what_may_pass_is_asked_again(server: HttpServer, store: HttpStore, tmp_path: Path, status: int) -> None:
    place = serve(server, Served(b"data", faults=[Fault(status), Fault(status)]))
    assert await fetched(store, place, tmp_path) == b"data"
    os.unlink(tmp_path / "landed")
    server.paths["/f"].faults = [Fault(status)] * 9
    err = await refused(store, place, tmp_path)
    assert err.retriable
    assert len(server.requests) == 3 + QUICK.tries


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_is_asked_again_when_it_says_and_not_at_all_if_that_is_too_late(
    server: HttpServer, store: HttpStore, tmp_path: Path, status: int
) -> None:
    place = serve(server, Served(b"data", faults=[Fault(status, (("Retry-After", "1"),))]))
    began = asyncio.get_running_loop().time()
    assert await fetched(store, place, tmp_path) == b"data"
    assert asyncio.get_running_loop().time() - began >= 1
    os.unlink(tmp_path / "landed")
    dates = (("Date", "Wed, 21 Oct 2015 07:28:00 GMT"), ("Retry-After", "Wed, 21 Oct 2015 07:29:00 GMT"))
    for late in ((("Retry-After", "3600"),), dates):
        server.paths["/f"].faults = [Fault(status, late, b"slow down")]
        err = await refused(store, place, tmp_path)
        assert err.retriable
        assert "slow down" in str(err)


@pytest.mark.parametrize(("status", "missing"), [
    (400, False), (401, False), (403, False), (404, True), (410, True), (451, False), (501, False),
])  # fmt: skip
async def test_what_will_not_pass_is_asked_once(
    server: HttpServer, store: HttpStore, tmp_path: Path, status: int, missing: bool
) -> None:
    place = serve(server, Served(b"data", faults=[Fault(status, (("Content-Type", "text/plain"),), b"because")]))
    err = await refused(store, place, tmp_path)
    assert (err.retriable, err.missing, len(server.requests)) == (False, missing, 1)
    assert f"{status}" in str(err)
    assert "because" in str(err)


async def test_silence_is_not_waited_for_for_ever(server: HttpServer, store: HttpStore, tmp_path: Path) -> None:
    place = serve(server, Served(DATA, faults=[Fault(hang=10), Fault(hang=0)]))
    assert await fetched(store, place, tmp_path) == DATA
    server.paths["/f"].faults = [Fault(hang=0)] * 9
    os.unlink(tmp_path / "landed")
    err = await refused(store, place, tmp_path)
    assert err.retriable
    assert "silent" in str(err)


async def test_redirects_are_followed_but_not_for_ever(server: HttpServer, store: HttpStore, tmp_path: Path) -> None:
    place = serve(server, Served(b"data"))
    start = serve(server, Served(faults=[Fault(302, (("Location", "/f"),))]), "/start")
    assert await fetched(store, start, tmp_path) == b"data"
    os.unlink(tmp_path / "landed")
    loop = serve(server, Served(faults=[Fault(302, (("Location", "/loop"),))] * 20), "/loop")
    err = await refused(store, loop, tmp_path)
    assert "redirects" in str(err)
    assert not err.retriable
    assert place.name == "f"


async def test_secrets_in_addresses_do_not_reach_the_words_of_errors(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    place = uri.parse(server.url("/gone?X-Amz-Signature=s3cr3t&part=1&access_token=s3cr3t&sig=s3cr3t"))
    err = await refused(store, place, tmp_path)
    assert "s3cr3t" not in str(err)
    assert "part=1" in str(err)
    assert server.requests[0].path.endswith("sig=s3cr3t")
    loop = serve(server, Served(faults=[Fault(302, (("Location", "/l?sig=s3cr3t"),))] * 20), "/l")
    assert "s3cr3t" not in str(await refused(store, loop, tmp_path))


@pytest.mark.parametrize("header", ["Content-MD5", "Digest", "Repr-Digest", "x-goog-hash"])
async def test_a_stated_digest_is_checked(server: HttpServer, store: HttpStore, tmp_path: Path, header: str) -> None:
    md5, sha = (base64.b64encode(hashlib.new(n, DATA).digest()).decode() for n in ("md5", "sha256"))
    value = {
        "Content-MD5": md5, "Digest": f"crc32c=abc,md5={md5}", "Repr-Digest": f"sha-256=:{sha}:",
        "x-goog-hash": f"crc32c=AAAAAA==,md5={md5}",
    }[header]  # fmt: skip
    served = Served(DATA, headers={header: value}, ranges=header != "Content-MD5")
    place = serve(server, served)
    assert await fetched(store, place, tmp_path) == DATA
    os.unlink(tmp_path / "landed")
    served.data = DATA[:-1] + b"!" if DATA[-1:] != b"!" else DATA[:-1] + b"?"
    err = await refused(store, place, tmp_path)
    assert err.retriable
    assert "digest" in str(err)


async def test_what_is_encoded_unasked_is_decoded_unless_it_is_what_the_name_says(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    packed = gzip.compress(b"plain" * 1000)
    served = Served(packed, headers={"Content-Encoding": "gzip"})
    assert await fetched(store, serve(server, served), tmp_path) == b"plain" * 1000
    assert await fetched(store, serve(server, served, "/f.gz"), tmp_path) == packed
    assert await store.read_bytes(serve(server, served)) == b"plain" * 1000
    os.unlink(tmp_path / "landed")
    served.headers["Content-Encoding"] = "br"
    assert "br" in str(await refused(store, serve(server, served), tmp_path))


@pytest.mark.parametrize("served", [
    Served(DATA), Served(DATA, head=False), Served(DATA, length=-1, faults=[Fault(403)]),
    Served(DATA, head=False, ranges=False),
])  # fmt: skip
async def test_stat_tells_size_and_version_even_where_head_is_refused(
    server: HttpServer, store: HttpStore, served: Served
) -> None:
    served.modified = "Wed, 21 Oct 2015 07:28:00 GMT"
    found = await store.stat(serve(server, served))
    assert found == ("f", len(DATA), "one", 1445412480.0, "")


async def test_stat_of_what_is_not_there_is_missing_and_without_etag_time_and_size_are_the_version(
    server: HttpServer, store: HttpStore
) -> None:
    with pytest.raises(StoreError) as err:
        await store.stat(uri.parse(server.url("/nothing")))
    assert err.value.missing
    served = Served(b"abc", etag="", modified="Wed, 21 Oct 2015 07:28:00 GMT")
    assert (await store.stat(serve(server, served))).version == "Wed, 21 Oct 2015 07:28:00 GMT 3"
    assert (await store.stat(serve(server, Served(b"", head=False)))).size == 0
    assert (await store.stat(serve(server, Served(b"abc", etag="", chunked=True)))).version == ""


async def test_a_name_is_asked_for_as_it_is_written(server: HttpServer, store: HttpStore, tmp_path: Path) -> None:
    server.paths["/a%20b%2Bc%C3%A9+~'x"] = Served(b"data")
    assert await fetched(store, uri.parse(server.url("/a b%2Bcé+~'x#part")), tmp_path) == b"data"


async def test_small_files_and_digests_are_read_whole_in_spite_of_cuts(server: HttpServer, store: HttpStore) -> None:
    place = serve(server, Served(DATA, faults=[Fault(cut=500_000)]))
    assert await store.read_bytes(place) == DATA
    server.paths["/f"].faults = [Fault(cut=500_000)]
    assert await store.digest(place) == hashlib.sha256(DATA).hexdigest()


async def test_a_server_that_is_not_there_may_be_later_and_writing_is_refused_with_the_fix(
    server: HttpServer, store: HttpStore, tmp_path: Path
) -> None:
    place = serve(server, Served(DATA))
    await server.stop()
    assert (await refused(store, place, tmp_path)).retriable
    for call in (
        store.put("/x", place),
        store.put_bytes(b"", place),
        store.copy(place, place, 1),
        store.drop(place, []),
    ):
        with pytest.raises(StoreError, match="can only be read: choose") as err:
            await call
        assert not err.value.retriable
    with pytest.raises(StoreError, match="no folders"):
        await store.listing(place)


async def test_a_full_or_forbidden_disk_is_told_as_that(server: HttpServer, store: HttpStore, tmp_path: Path) -> None:
    place = serve(server, Served(DATA))
    with pytest.raises(StoreError, match="No such file") as err:
        await store.fetch(place, str(tmp_path / "nowhere/f"))
    assert not err.value.retriable


@pytest.mark.parametrize("fault", [Fault(hang=0), Fault(hang=2_000_000), Fault(503, (("Retry-After", "4"),))])
async def test_a_fetch_is_cancelled_at_once_and_leaves_nothing(
    server: HttpServer, tmp_path: Path, fault: Fault
) -> None:
    place = serve(server, Served(DATA, faults=[fault] * 9))
    store = HttpStore({}, width=Width(lanes=4, above=1 << 20, part=1 << 19))
    task = asyncio.ensure_future(store.fetch(place, str(tmp_path / "f")))
    async with asyncio.timeout(5):
        while not server.requests:
            await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    began = loop.time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()
    assert loop.time() - began < 1
    assert os.listdir(tmp_path) == []


async def test_a_server_without_tls_is_not_taken_for_one_with_a_bad_certificate(tmp_path: Path) -> None:
    async def puzzled(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 What\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(puzzled, "127.0.0.1", 0) as plain:
        store = HttpStore({}, patience=QUICK)
        port = plain.sockets[0].getsockname()[1]
        err = await refused(store, uri.parse(f"https://127.0.0.1:{port}/x"), tmp_path)
        await store.close()
    assert "does not speak TLS" in str(err)
    assert "certificate" not in str(err)


async def test_a_certificate_counts_only_if_its_authority_is_known_or_named(tmp_path: Path) -> None:
    tls, authority = certified(tmp_path)
    (tmp_path / "in").mkdir()
    server = await HttpServer().start(tls)
    place = serve(server, Served(b"data"))
    strict, told = HttpStore({}, patience=QUICK), HttpStore({"SSL_CERT_FILE": authority}, patience=QUICK)
    err = await refused(strict, place, tmp_path / "in")
    assert not err.retriable
    assert "SSL_CERT_FILE" in str(err)
    assert server.requests == []
    assert await fetched(told, place, tmp_path / "in") == b"data"
    for closable in (strict, told, server):
        await (closable.stop() if isinstance(closable, HttpServer) else closable.close())


async def test_a_proxy_of_the_environment_is_used(
    server: HttpServer, store: HttpStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "")
    server.paths["http://files.example/f"] = Served(b"data")
    assert await fetched(store, uri.parse("http://files.example/f"), tmp_path) == b"data"


async def test_a_host_that_does_not_exist_is_told_at_once(store: HttpStore, tmp_path: Path) -> None:
    err = await refused(store, uri.parse("http://nowhere.invalid/f"), tmp_path)
    assert err.retriable
    assert "nowhere.invalid" in str(err)
