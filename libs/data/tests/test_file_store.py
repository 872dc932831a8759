"""The file store on a real disk: what a listing shows, what identifies a file, and what is no file at all."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longshore_data import disk
from longshore_data.meter import Meter
from longshore_data.store import StoreError
from longshore_data.stores.file import FileStore
from longshore_data.uri import Location


@pytest.fixture
async def store() -> AsyncIterator[FileStore]:
    made = FileStore()
    yield made
    await made.close()


def place(path: Path | str, *, folder: bool = False) -> Location:
    return Location("file", "", str(path), folder)


async def test_a_listing_shows_files_and_links_to_files_and_nothing_else(store: FileStore, tmp_path: Path) -> None:
    names = ["plain", "sp ace", "é-日本", "quo'te\"", "new\nline", "deep/er/x", ".hidden"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    not_utf8 = os.fsdecode(b"not-utf8-\xff")
    (tmp_path / not_utf8).write_bytes(b"x")
    (tmp_path / "link").symlink_to("deep/er/x")
    (tmp_path / "folder link").symlink_to("deep")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty").mkdir()
    (tmp_path / f"{disk.PART}x").write_bytes(b"half")
    os.mkfifo(tmp_path / "pipe")
    found = await store.listing(place(tmp_path, folder=True))
    assert sorted(f.path for f in found) == sorted([*names, not_utf8, "link"])
    assert {f.path: f.size for f in found}["link"] == len("deep/er/x")
    await store.fetch(place(tmp_path / not_utf8), str(tmp_path / "empty" / not_utf8))
    assert os.listdir(os.fsencode(tmp_path / "empty")) == [b"not-utf8-\xff"]


async def test_a_version_stays_while_a_file_does_and_changes_with_it(store: FileStore, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"1")
    first = await store.stat(place(file))
    assert (await store.stat(place(file))) == first
    assert (await store.listing(place(tmp_path, folder=True))) == [first]
    os.link(file, tmp_path / "y")
    file.chmod(0o755)
    assert (await store.stat(place(file))).version == first.version
    os.utime(file, ns=(0, 12345))
    assert (await store.stat(place(file))).version != first.version
    (tmp_path / "new").write_bytes(b"2")
    os.utime(tmp_path / "new", ns=(0, int(first.modified * 1e9)))
    os.replace(tmp_path / "new", file)
    assert (await store.stat(place(file))).version != first.version


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "none", "below a file", "loop"])
async def test_what_is_no_file_is_refused_at_once(store: FileStore, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "below a file":
        path.write_bytes(b"")
        path = path / "y"
    elif kind == "loop":
        path.symlink_to("x")
    elif kind == "device":
        path = Path("/dev/zero")
    for call in (store.stat, lambda p: store.fetch(p, str(tmp_path / "target")), store.read_bytes):
        with pytest.raises(StoreError) as caught:
            await asyncio.wait_for(call(place(path)), 2)
        assert not caught.value.retriable
        assert str(path) in str(caught.value)
    assert not (tmp_path / "target").exists()
    assert not list(tmp_path.glob(f"{disk.PART}*"))


async def test_holes_stay_holes_and_are_not_counted_as_moved(store: FileStore, tmp_path: Path) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    with source.open("wb") as f:
        f.seek(64 << 20)
        f.write(b"middle")
        f.truncate(512 << 20)
    meter = Meter()
    meter.expect(512 << 20)
    assert await store.fetch(place(source), str(target), meter) == 512 << 20
    assert target.stat().st_size == 512 << 20
    assert target.stat().st_blocks * 512 < 8 << 20
    with target.open("rb") as f:
        f.seek((64 << 20) - 1)
        assert f.read(8) == b"\0middle\0"
    done, total, _, _ = meter.progress()
    assert done == total < 8 << 20


async def test_a_copy_is_cancelled_within_a_second_and_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    source = tmp_path / "s"
    with source.open("wb") as f:
        for _ in range(64):
            f.write(bytes(1 << 20))
    (tmp_path / "t").mkdir()
    from longshore_data.meter import Bandwidth

    slow = Meter(Bandwidth(1 << 20))
    running = asyncio.ensure_future(store.fetch(place(source), str(tmp_path / "t" / "x"), slow))
    while not list((tmp_path / "t").iterdir()):
        await asyncio.sleep(0.005)
    then = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - then < 1
    assert list((tmp_path / "t").iterdir()) == []


def test_writing_on_a_full_device_says_disk_full(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space") as caught, open("/dev/full", "wb", buffering=0) as f:
        disk.write_all(f.fileno(), b"x")
    error = disk.translated(caught.value, "writing x")
    assert (error.disk_full, error.retriable) == (True, True)


def test_two_threads_make_one_target_without_harm(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"x" * 100_000)
    stop = threading.Event()
    threads = [
        threading.Thread(target=disk.copy_in, args=(stop, str(tmp_path / "s"), str(tmp_path / "t"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "t").read_bytes() == b"x" * 100_000
    assert sorted(os.listdir(tmp_path)) == ["s", "t"]
