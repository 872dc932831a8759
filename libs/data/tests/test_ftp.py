"""`ftp://` against pyftpdlib, in a process that is killed, that knows little, that cuts connections."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from longshore_data import uri
from longshore_data.meter import Meter
from longshore_data.store import StoreError
from longshore_data.stores import ftp_listing
from longshore_data.stores.ftp import FtpStore
from longshore_data.stores.ftp_client import FtpSettings
from longshore_data.stores.patience import Patience

from .servers import FtpServer

DATA = os.urandom(3_000_000)
QUICK = Patience(tries=4, first=0.001, longest=0.002, connect=2, silence=2)
NAMES = [
    "plain",
    "with space.txt",
    " leading and trailing ",
    "été-日本.bin",
    "-dash",
    ".hidden",
    "deep/er/x",
    "a -> b",
    "50%",
]
Serve = Callable[..., FtpServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    made: list[FtpServer] = []

    def start(**how: object) -> FtpServer:
        made.append(FtpServer(tmp_path / "root", **how))
        return made[-1].start()

    yield start
    for server in made:
        server.kill()


@pytest.fixture
async def store() -> AsyncIterator[FtpStore]:
    made = FtpStore(patience=QUICK)
    yield made
    await made.close()


def place(server: FtpServer, path: str) -> uri.Location:
    return uri.parse(f"ftp://127.0.0.1:{server.port}/{path}")


def write(server: FtpServer, path: str, data: bytes = DATA) -> uri.Location:
    file = server.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return place(server, path)


async def fetched(store: FtpStore, source: uri.Location, folder: Path, meter: Meter | None = None) -> bytes:
    folder.mkdir(exist_ok=True)
    size = await store.fetch(source, str(folder / "landed"), meter or Meter())
    data = (folder / "landed").read_bytes()
    assert size == len(data)
    assert os.listdir(folder) == ["landed"]
    return data


LITTLE = [[], ["EPSV"], ["MLSD", "MLST"], ["MLSD", "MLST", "EPSV", "SIZE", "MDTM", "REST", "OPTS", "FEAT"]]


@pytest.mark.parametrize("without", LITTLE, ids=["all", "no epsv", "no mlsd", "next to nothing"])
async def test_servers_of_every_ability_list_fetch_and_store(
    serve: Serve, store: FtpStore, tmp_path: Path, without: list[str]
) -> None:
    server = serve(without=without, pasv="10.99.99.99")
    names = [n for n in NAMES if "MLSD" not in without or " ->" not in n]
    for k, name in enumerate(names):
        source = tmp_path / "source"
        source.write_bytes(name.encode() * (k + 1))
        put = await store.put(str(source), place(server, "out/").below(name))
        assert put == (len(source.read_bytes()), hashlib.sha256(source.read_bytes()).hexdigest())
    found = {f.path: f for f in await store.listing(place(server, "out/"))}
    assert sorted(found) == sorted(names)
    for k, name in enumerate(names):
        assert found[name].size == (server.root / "out" / name).stat().st_size == len(name.encode()) * (k + 1)
        assert await store.read_bytes(place(server, "out/").below(name)) == name.encode() * (k + 1)
    if not without:
        one = place(server, "out/").below(names[0])
        assert await store.stat(one) == found[names[0]]
        assert found[names[0]].version
        assert abs(found[names[0]].modified - (server.root / "out" / names[0]).stat().st_mtime) < 2


async def test_a_file_replaces_another_at_once_even_where_the_server_renames_over_nothing(
    serve: Serve, store: FtpStore, tmp_path: Path
) -> None:
    server = serve(stern=True)
    target = write(server, "f", b"old")
    await store.put_bytes(b"new", target)
    assert (server.root / "f").read_bytes() == b"new"
    assert os.listdir(server.root) == ["f"]


async def test_a_transfer_goes_on_where_it_was_cut(serve: Serve, store: FtpStore, tmp_path: Path) -> None:
    server = serve(cut=[1_200_000, 1_000_000])
    source, meter = write(server, "f"), Meter()
    assert await fetched(store, source, tmp_path / "in", meter) == DATA
    rests = [int(line.split()[1]) for line in server.commands() if line.startswith("REST")]
    assert len(rests) == 2
    assert 0 < rests[0] <= 1_200_000 < rests[1] <= 2_200_000
    assert meter.done == len(DATA)


@pytest.mark.parametrize("without", [["SIZE"], ["MDTM"], ["REST"]])
async def test_a_transfer_is_begun_anew_where_the_server_cannot_vouch_for_the_file(
    serve: Serve, store: FtpStore, tmp_path: Path, without: list[str]
) -> None:
    server = serve(cut=[1_200_000], without=without)
    source, meter = write(server, "f"), Meter()
    assert await fetched(store, source, tmp_path / "in", meter) == DATA
    assert meter.done == len(DATA)
    assert any(line.startswith("REST") for line in server.commands()) is (without == ["REST"])


async def test_an_upload_of_which_the_server_kept_less_is_sent_again(
    serve: Serve, store: FtpStore, tmp_path: Path
) -> None:
    server = serve(short=1)
    await store.put_bytes(DATA, place(server, "f"))
    assert (server.root / "f").read_bytes() == DATA
    assert os.listdir(server.root) == ["f"]


async def test_a_file_that_changed_meanwhile_is_begun_anew(serve: Serve, store: FtpStore, tmp_path: Path) -> None:
    server = serve(cut=[1_500_000])
    source, other = write(server, "f"), os.urandom(2_000_000)

    class Changes(Meter):
        async def moved(self, size: int) -> None:
            (server.root / "new").write_bytes(other)
            os.rename(server.root / "new", server.root / "f")
            await super().moved(size)

    assert await fetched(store, source, tmp_path / "in", Changes()) == other


async def test_a_server_that_is_killed_and_comes_back_costs_only_time(serve: Serve, tmp_path: Path) -> None:
    server = serve(slow=200_000)
    source = write(server, "f")
    store = FtpStore(patience=Patience(tries=200, first=0.02, longest=0.02, connect=2, silence=2))

    class Kills(Meter):
        killed = False

        async def moved(self, size: int) -> None:
            await super().moved(size)
            if not self.killed:
                self.killed = True
                server.kill()
                server.how.clear()
                self.again = asyncio.ensure_future(asyncio.to_thread(server.start))

    meter = Kills()
    assert await fetched(store, source, tmp_path / "in", meter) == DATA
    await meter.again
    assert any(line.startswith("REST") for line in server.commands())
    assert meter.done == len(DATA)
    await store.close()


async def test_a_crowded_server_is_asked_again_and_few_connections_are_used_over_and_over(
    serve: Serve, store: FtpStore, tmp_path: Path
) -> None:
    server = serve(crowded=2)
    for k in range(12):
        write(server, f"d/{k}", b"%d" % k)
    got = await asyncio.gather(*(store.read_bytes(place(server, f"d/{k}")) for k in range(12)))
    assert got == [b"%d" % k for k in range(12)]
    assert sum(line.startswith("USER") for line in server.commands()) <= 4 + 2


async def test_what_is_not_there_is_missing_and_not_asked_twice(serve: Serve, store: FtpStore, tmp_path: Path) -> None:
    server = serve()
    gone = place(server, "nothing")
    for call in (store.fetch(gone, str(tmp_path / "f")), store.stat(gone), store.read_bytes(gone), store.digest(gone)):
        with pytest.raises(StoreError, match="550") as err:
            await call
        assert (err.value.missing, err.value.retriable) == (True, False)
        assert str(gone) in str(err.value)
        assert str(tmp_path) not in str(err.value)
    assert sum(line == "SIZE /nothing" for line in server.commands()) == 4
    with pytest.raises(StoreError) as err:
        await store.listing(place(server, "nothing/"))
    assert err.value.missing
    assert not [name for name in os.listdir(tmp_path) if not name.startswith("root")]


async def test_a_login_that_is_refused_is_told_with_the_fix_and_never_with_the_password(
    serve: Serve, store: FtpStore
) -> None:
    server = serve(nobody=True, user="ann", password="s3cr3t")
    source = write(server, "f", b"data")
    with pytest.raises(StoreError, match=r"530.*make a remote") as err:
        await store.read_bytes(source)
    assert not err.value.retriable
    wrong = FtpStore(FtpSettings("ann", "s3cr3t-wrong"), patience=QUICK)
    with pytest.raises(StoreError) as err:
        await wrong.read_bytes(source)
    assert "s3cr3t" not in str(err.value)
    remote = FtpStore(FtpSettings("ann", "s3cr3t", "127.0.0.1", server.port), patience=QUICK)
    assert await remote.read_bytes(uri.parse("lab://f")) == b"data"
    assert "s3cr3t" not in repr(FtpSettings("ann", "s3cr3t"))
    for made in (wrong, remote):
        await made.close()


async def test_dropped_files_are_gone_with_the_folders_they_leave_empty_and_copies_are_whole(
    serve: Serve, store: FtpStore
) -> None:
    server = serve()
    await store.copy(write(server, "out/a"), place(server, "out/b/c"), len(DATA))
    assert await store.digest(place(server, "out/b/c")) == hashlib.sha256(DATA).hexdigest()
    await store.drop(place(server, "out/"), ["b/c", "never/was"])
    assert os.listdir(server.root / "out") == ["a"]
    await store.drop(place(server, "out/"), ["a"])
    assert os.listdir(server.root) == []


async def test_links_to_files_are_listed_and_others_are_not(serve: Serve, store: FtpStore) -> None:
    for without in ([], ["MLSD", "MLST"]):
        server = serve(without=without)
        write(server, "d/f", b"abc")
        for name, to in (("good", "f"), ("gone", "nothing")):
            if not os.path.lexists(server.root / "d" / name):
                os.symlink(to, server.root / "d" / name)
        assert sorted((f.path, f.size) for f in await store.listing(place(server, "d/"))) == [("f", 3), ("good", 3)]


async def test_an_upload_that_breaks_leaves_nothing_under_the_name(
    serve: Serve, store: FtpStore, tmp_path: Path
) -> None:
    server = serve()
    target = write(server, "f", b"old")
    (tmp_path / "source").write_bytes(DATA)

    class Kills(Meter):
        async def moved(self, size: int) -> None:
            server.kill()

    with pytest.raises(StoreError) as err:
        await store.put(str(tmp_path / "source"), target, Kills())
    assert err.value.retriable
    assert (server.root / "f").read_bytes() == b"old"
    server.start()
    assert [f.path for f in await store.listing(place(server, ""))] == ["f"]
    assert (await store.put(str(tmp_path / "source"), target)).size == len(DATA)
    assert os.listdir(server.root) == ["f"]


async def test_transfers_are_cancelled_at_once_and_leave_nothing(serve: Serve, tmp_path: Path) -> None:
    server = serve(slow=100_000)
    source = write(server, "f")
    (tmp_path / "here").write_bytes(DATA)
    (tmp_path / "in").mkdir()
    loop = asyncio.get_running_loop()
    for upload in (False, True):
        store, begun = FtpStore(), asyncio.Event()

        class Tells(Meter):
            async def moved(self, size: int, begun: asyncio.Event = begun) -> None:
                begun.set()

        if upload:
            task = asyncio.ensure_future(store.put(str(tmp_path / "here"), place(server, "g"), Tells()))
        else:
            task = asyncio.ensure_future(store.fetch(source, str(tmp_path / "in/f"), Tells()))
        if upload:
            await asyncio.wait_for(begun.wait(), 20)
        else:
            async with asyncio.timeout(5):
                while not any(line.startswith("RETR") for line in server.commands()):
                    await asyncio.sleep(0.01)
        began = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await store.close()
        assert loop.time() - began < 1
    assert os.listdir(tmp_path / "in") == []
    assert not (server.root / "g").exists()


@pytest.mark.parametrize(("line", "name", "kind", "size"), [
    ("-rw-r--r--   1 ftp      ftp         65536 Mar 01  2019 a b.gz", "a b.gz", "file", 65536),
    ("-r--r--r--.  1 0 0 5000000000 Nov 21 11:30  lead", " lead", "file", 5000000000),
    ("drwxr-sr-x   9 ftp anonymous 4096 Jan 31 2020 run", "run", "dir", 4096),
    ("lrwxrwxrwx 1 ftp ftp 7 Mar 01 2019 now -> v1/f.gz", "now", "link", 7),
    ("02-29-24  03:15PM       <DIR>          run", "run", "dir", -1),
    ("02-29-2024  15:15       123 a b.txt", "a b.txt", "file", 123),
])  # fmt: skip
def test_lines_of_list_are_read_in_both_manners(line: str, name: str, kind: str, size: int) -> None:
    read = ftp_listing.listed(line)
    assert read is not None
    assert (read.name, read.kind, read.size) == (name, kind, size)


@pytest.mark.parametrize(
    "line", ["total 12", "drwxr-xr-x 2 a b 4096 Jan 1 2020 .", "drwxr-xr-x 2 a b 4096 Jan 1 2020 ..", ""]
)
def test_lines_that_are_no_file_are_passed_over(line: str) -> None:
    assert ftp_listing.listed(line) is None
