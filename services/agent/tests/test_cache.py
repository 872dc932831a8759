"""Resources of a host: fetched once, lent read-only, compared with their source, given up when room is needed."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from longshore_agent.adapters.cache import FRESH, Cache, Way
from longshore_agent.adapters.entries import Wish
from longshore_agent.adapters.room import Room
from longshore_common.model import resource_key
from longshore_common.testing.waiting import until
from longshore_data import uri
from longshore_data.meter import Limits, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.stores.file import FileStore
from longshore_data.transfer import Transfer

from .clocks import SetClock
from .storage import Server


class Counting(FileStore):
    """The real store; fetches are counted, and wait while `gate` is closed."""

    def __init__(self):
        super().__init__()
        self.fetched, self.gate = [], asyncio.Event()
        self.gate.set()
        self.away, self.asked = False, 0

    async def fetch(self, source, target, meter):
        self.fetched.append(source.key)
        await self.gate.wait()
        return await super().fetch(source, target, meter)

    async def stat(self, place):
        self.asked += 1
        if self.away:
            await asyncio.sleep(0)
            raise StoreError(f"looking at {place}: nobody answers", retriable=True)
        return await super().stat(place)


class Host:
    """A cache below one directory, and the storage it fetches from."""

    def __init__(self, directory: Path, *, most: int = 0, clones: bool = True):
        self.directory = directory
        self.store = Counting()
        self.limits = Limits()
        self.transfer = Transfer(Storage({}, stores={"file": self.store}), self.limits)
        self.opened: list[Cache] = []
        self.most = most
        self.clock = SetClock()
        self.cache = self.open()

    def open(self) -> Cache:
        """As a new life of the agent does."""
        room = Room(self.directory / "worker")
        self.cache = Cache(self.directory / "worker" / "cache", room, self.most, self.clock)
        self.opened.append(self.cache)
        return self.cache

    async def lend(self, *texts, user="1.0.1", meter=None):
        """(directory, identities) of an attempt that got these."""
        target = self.directory / f"for-{user}"
        target.mkdir(exist_ok=True)
        way = Way(self.transfer, lambda: Meter(self.limits.down))
        wishes = [Wish(text, uri.source(text)) for text in texts]
        await self.cache.lend(wishes, user, str(target), meter or Meter(), way)
        return target

    async def settled(self):
        """All that is kept has reached the disk."""
        await asyncio.gather(*self.cache._behind)

    def source(self, name, text="content"):
        place = self.directory / "source" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return f"file://{place}"

    def entries(self):
        return sorted(p.parent.name for p in (self.directory / "worker/cache").glob("*/index"))

    async def compare_again(self):
        """As if the last comparison with the source were long ago."""
        for entry in self.cache._newest.values():
            entry.checked -= FRESH


@pytest.fixture
async def host(tmp_path):
    one = Host(tmp_path)
    yield one
    for cache in one.opened:
        await cache.close()
    await one.transfer.storage.close()
    await one.transfer.close()


def tree(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


async def test_fifty_attempts_at_once_share_one_download_and_get_the_same_file_read_only(host):
    text = host.source("genome")
    host.store.gate.clear()
    calls = [asyncio.ensure_future(host.lend(text, user=f"1.{k}.1")) for k in range(50)]
    await until(lambda: bool(host.store.fetched))
    host.store.gate.set()
    places = await asyncio.gather(*calls)
    assert len(host.store.fetched) == 1
    assert {(p / "genome").read_text() for p in places} == {"content"}
    assert {(p / "genome").stat().st_mode & 0o777 for p in places} == {0o444}
    assert host.cache.keys() == (resource_key(text),)


async def test_folders_with_tools_empty_folders_and_any_name_are_lent_as_they_are(host):
    root = host.directory / "source" / "db"
    for name in ("tool", "deep/er/é 日本", 'quo"te'):
        host.source(f"db/{name}", name)
    (root / "tool").chmod(0o755)
    place = await host.lend(f"file://{root}/|mv:made")
    assert tree(place) == {f"made/{n}": n for n in ("tool", "deep/er/é 日本", 'quo"te')}
    assert os.access(place / "made/tool", os.X_OK)
    (place / "made" / "of my own").write_text("a task may add files beside what it was lent")


async def test_an_archive_is_unpacked_once_per_host(host):
    host.source("in/a", "A")
    host.source("in/b", "B")
    archive = host.directory / "source" / "db.tgz"
    subprocess.run(["tar", "-czf", archive, "-C", host.directory / "source/in", "."], check=True)
    first = await host.lend(f"file://{archive}|untar", user="1.0.1")
    second = await host.lend(f"file://{archive}|untar", user="1.1.1")
    assert tree(first) == tree(second) == {"a": "A", "b": "B"}
    assert len(host.store.fetched) == 1


async def test_if_the_one_who_began_goes_away_the_download_goes_on_for_the_others(host):
    text = host.source("genome")
    host.store.gate.clear()
    first, second = (asyncio.ensure_future(host.lend(text, user=f"1.{k}.1")) for k in range(2))
    await until(lambda: bool(host.store.fetched))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    host.store.gate.set()
    assert tree(await second) == {"genome": "content"}
    assert len(host.store.fetched) == 1


async def test_when_nobody_waits_any_more_the_download_ends_and_leaves_nothing(host):
    text = host.source("genome")
    host.store.gate.clear()
    calls = [asyncio.ensure_future(host.lend(text, user=f"1.{k}.1")) for k in range(3)]
    await until(lambda: bool(host.store.fetched))
    for call in calls:
        call.cancel()
    async with asyncio.timeout(1):
        await asyncio.wait(calls)
    await until(lambda: not host.cache._downloads)
    assert os.listdir(host.directory / "worker/cache") == []
    host.store.gate.set()
    assert tree(await host.lend(text, user="1.9.1")) == {"genome": "content"}


async def test_a_download_that_fails_fails_for_all_who_waited_and_the_next_one_tries_again(host):
    text = f"file://{host.directory}/source/genome"
    calls = [host.lend(text, user=f"1.{k}.1") for k in range(5)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(err) for err in errors} == {StoreError}
    assert "No such file" in str(errors[0])
    host.source("genome")
    assert tree(await host.lend(text)) == {"genome": "content"}


async def test_a_source_that_changed_is_fetched_anew_and_the_old_goes_with_its_last_user(host):
    text = host.source("genome", "old")
    old = await host.lend(text, user="1.0.1")
    host.source("genome", "newer")
    assert tree(await host.lend(text, user="1.1.1")) == {"genome": "old"}  # compared a moment ago
    await host.compare_again()
    new = await host.lend(text, user="1.2.1")
    assert (tree(old), tree(new)) == ({"genome": "old"}, {"genome": "newer"})
    assert len(host.cache._entries) == 2
    for user in ("1.0.1", "1.1.1"):
        host.cache.release(user)
    assert [e.source for e in host.cache._entries.values()] == [text]


async def test_what_a_task_wrote_through_its_link_is_noticed_and_fetched_anew(host):
    host.cache._lender = type(host.cache._lender)(clones=False)
    text = host.source("genome")
    place = await host.lend(text, user="1.0.1")
    (place / "genome").chmod(0o644)
    (place / "genome").write_text("spoilt")
    assert tree(await host.lend(text, user="1.1.1")) == {"genome": "content"}
    assert len(host.store.fetched) == 2


async def test_even_bytes_of_the_same_number_are_noticed(host):
    host.cache._lender = type(host.cache._lender)(clones=False)
    text = host.source("genome")
    place = await host.lend(text, user="1.0.1")
    with open(place / "genome", "r+b") as file:  # as root may, whatever the mode
        file.write(b"C")
    assert tree(await host.lend(text, user="1.1.1")) == {"genome": "content"}


async def test_the_next_life_has_what_was_kept_and_no_half_entry(host):
    text, other = host.source("genome"), host.source("half")
    await host.lend(text)
    await host.settled()
    host.store.gate.clear()
    call = asyncio.ensure_future(host.lend(other, user="1.1.1"))
    await until(lambda: len(host.store.fetched) == 2)
    host.open()  # the old life was killed; it touches nothing any more
    assert host.cache.keys() == (resource_key(text),)
    await until(lambda: len(os.listdir(host.directory / "worker/cache")) == 1)
    call.cancel()
    await asyncio.wait([call])
    host.store.gate.set()
    assert tree(await host.lend(text, user="1.2.1")) == {"genome": "content"}
    assert len(host.store.fetched) == 2


async def test_a_torn_index_does_not_count(host):
    text = host.source("genome")
    await host.lend(text)
    await host.settled()
    index = next((host.directory / "worker/cache").glob("*/index"))
    index.write_bytes(index.read_bytes()[:-9])
    host.open()
    assert host.cache.keys() == ()
    assert tree(await host.lend(text, user="1.2.1")) == {"genome": "content"}
    assert len(host.store.fetched) == 2


async def test_the_least_recently_used_go_when_there_are_too_many_across_lives_too(tmp_path):
    host = Host(tmp_path, most=25)
    texts = [host.source(f"r{k}", "x" * 10) for k in range(3)]
    for k in range(2):
        await host.lend(texts[k], user=f"1.{k}.1")
        await host.settled()
        host.cache.release(f"1.{k}.1")
        index = max((host.directory / "worker/cache").glob("*/index"), key=lambda p: int(p.parent.name))
        os.utime(index, (100 - k, 100 - k))
    host.open()
    assert len(host.cache.keys()) == 2
    await host.lend(texts[2], user="1.4.1")  # the second was used longer ago than the first
    assert host.cache.keys() == tuple(sorted(resource_key(texts[k]) for k in (0, 2)))
    for cache in host.opened:
        await cache.close()


async def test_what_attempts_use_stays_whatever_the_limit(tmp_path):
    host = Host(tmp_path, most=5)
    text = host.source("large", "x" * 100)
    await host.lend(text, user="1.0.1")
    await host.lend(text, user="1.1.1")
    host.cache.release("1.0.1")
    assert host.cache.keys() == (resource_key(text),)
    host.cache.release("1.1.1")
    assert host.cache.keys() == ()
    await host.cache.close()


async def test_on_a_disk_with_clones_a_task_may_write_what_it_likes_and_spoils_nothing(tmp_path):
    if os.geteuid() or not shutil.which("mkfs.btrfs"):
        pytest.skip("needs root and mkfs.btrfs (btrfs-progs): clones were not tried")
    disk, image = tmp_path / "disk", tmp_path / "image"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(120 << 20)
    subprocess.run(["mkfs.btrfs", "-q", "-f", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True, capture_output=True)
    try:
        host = Host(disk)
        text = host.source("genome")
        place = await host.lend(text, user="1.0.1")
        (kept,) = (disk / "worker/cache").glob("*/tree/genome")
        assert kept.stat().st_ino != (place / "genome").stat().st_ino
        assert (place / "genome").stat().st_mode & 0o777 == 0o444
        (place / "genome").chmod(0o644)
        (place / "genome").write_text("spoilt")
        assert tree(await host.lend(text, user="1.1.1")) == {"genome": "content"}
        assert len(host.store.fetched) == 1
        assert host.cache._lender._clones
        await host.cache.close()
        await host.transfer.storage.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def test_to_another_disk_it_is_copied(host):
    text = host.source("genome")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        host.directory, before = Path(elsewhere), host.directory
        assert os.stat(elsewhere).st_dev != os.stat(before).st_dev
        place = await host.lend(text)
        assert tree(place) == {"genome": "content"}
        assert (place / "genome").stat().st_mode & 0o777 == 0o444
        host.directory = before
    assert tree(await host.lend(text, user="1.1.1")) == {"genome": "content"}
    assert len(host.store.fetched) == 1


async def test_storage_that_is_away_for_a_while_does_not_stop_who_has_it_already(host):
    text = host.source("genome")
    await host.lend(text)
    await host.compare_again()
    host.store.away = True
    assert tree(await host.lend(text, user="1.1.1")) == {"genome": "content"}
    await host.compare_again()
    for entry in host.cache._newest.values():
        entry.used_at -= 7200
    host.store.asked = 0
    calls = [host.lend(text, user=f"2.{k}.1") for k in range(5)]
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(err, StoreError) and err.retriable for err in errors)
    assert host.store.asked == 1  # who waited for the answer got it too


@pytest.mark.parametrize("day", [86_400.0, -86_400.0], ids=["forward", "back"])
async def test_a_clock_that_is_set_makes_nothing_older_for_who_uses_it(host, day):
    text = host.source("genome")
    await host.lend(text)
    await host.compare_again()
    host.clock.ahead = day
    host.store.away = True
    assert tree(await host.lend(text, user="1.1.1")) == {"genome": "content"}


async def test_a_source_that_is_gone_is_an_error_though_it_was_kept(host):
    text = host.source("genome")
    await host.lend(text)
    await host.compare_again()
    os.unlink(host.directory / "source/genome")
    with pytest.raises(StoreError, match="No such file") as caught:
        await host.lend(text, user="1.1.1")
    assert not caught.value.retriable


async def test_two_resources_of_one_name_are_an_error_that_names_both_and_one_twice_is_fine(host):
    one, two = host.source("a/x"), host.source("b/x")
    with pytest.raises(StoreError, match="both be called 'x'") as caught:
        await host.lend(one, two)
    assert one in str(caught.value)
    assert two in str(caught.value)
    assert set(tree(await host.lend(one, one, f"{two}|mv:b", user="1.1.1"))) == {"x", "b/x"}


async def test_forgotten_resources_are_fetched_anew_and_those_in_use_go_later(host):
    text = host.source("genome")
    await host.lend(text, user="1.0.1")
    await host.settled()
    assert host.cache.forget() == 0
    assert host.cache.keys() == ()
    await host.lend(text, user="1.1.1")
    assert len(host.store.fetched) == 2


async def test_who_waits_for_the_download_of_another_sees_its_progress(host):
    text = host.source("genome", "x" * 1000)
    host.store.gate.clear()
    meters = [Meter(), Meter()]
    calls = [asyncio.ensure_future(host.lend(text, user=f"1.{k}.1", meter=m)) for k, m in enumerate(meters)]
    await until(lambda: bool(host.store.fetched))
    await until(lambda: all(m.progress().total in (0, 1000) for m in meters))
    host.store.gate.set()
    await asyncio.gather(*calls)
    assert [m.done for m in meters] == [1000, 0]  # moved once, counted once


async def test_a_disk_too_small_for_all_gives_up_what_is_not_used(tmp_path):
    disk = tmp_path / "worker"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", disk], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root can mount a small disk: eviction on a full disk was not tried")
    try:
        host = Host(tmp_path)
        texts = [host.source(f"r{k}", "x" * (1 << 20)) for k in range(5)]
        for k, text in enumerate(texts):
            place = host.directory / "worker" / f"for-{k}"
            place.mkdir()
            way = Way(host.transfer, Meter)
            await host.cache.lend([Wish(text, uri.source(text))], f"1.{k}.1", str(place), Meter(), way)
            assert (place / f"r{k}").stat().st_size == 1 << 20
            (place / f"r{k}").unlink()
            host.cache.release(f"1.{k}.1")
        assert resource_key(texts[4]) in host.cache.keys()  # noqa: SIM118
        huge = host.source("huge", "x" * (4 << 20))
        with pytest.raises(StoreError, match="free space") as caught:
            await host.lend(huge, user="1.9.1")
        assert caught.value.disk_full
        await host.cache.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


async def test_from_s3_one_changed_object_is_noticed_by_its_etag(tmp_path):
    (tmp_path / "s3" / "bucket" / "db").mkdir(parents=True)
    server = Server("rclone", tmp_path / "s3").start()
    host = Host(tmp_path)
    host.transfer = Transfer(Storage(server.environ), host.limits)
    for name in ("a", "b"):
        (tmp_path / "s3/bucket/db" / name).write_text(f"first {name}")
    assert tree(await host.lend("s3://bucket/db/", user="1.0.1")) == {"a": "first a", "b": "first b"}
    await host.compare_again()
    kept = next(iter(host.cache._newest.values()))
    await host.lend("s3://bucket/db/", user="1.1.1")
    assert next(iter(host.cache._newest.values())) is kept
    (tmp_path / "s3/bucket/db/b").write_text("second b")
    await host.compare_again()
    assert tree(await host.lend("s3://bucket/db/", user="1.2.1")) == {"a": "first a", "b": "second b"}
    await host.cache.close()
    await host.transfer.storage.close()
    await host.transfer.close()
    server.stop()
