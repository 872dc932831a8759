"""Remotes by way of rclone: any server that it knows behaves as every other store does."""

import asyncio
import hashlib
import os
import re
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path

import pytest

from longshore_common.testing.waiting import until
from longshore_data import uri
from longshore_data.meter import Bandwidth, Meter
from longshore_data.storage import Storage
from longshore_data.store import StoreError
from longshore_data.stores.rclone_daemon import RcloneDaemon, find_rclone

from .rclone_server import ACCESS, SECRET, S3Server
from .remote_servers import PASSWORD, Azurite, Served, Ssh, remotes

ENVIRON = {"PATH": os.environ["PATH"], "AWS_CA_BUNDLE": "/nowhere"}
KINDS = ["sftp", "webdav", "asyncssh", pytest.param("azurite", marks=pytest.mark.azurite)]


class Site:
    """A server, a storage whose remote `far` it is, and the folder on it where tests work."""

    def __init__(self, server, storage, top):
        self.server, self.storage, self.top = server, storage, top

    def at(self, path="", *, folder=False):
        return uri.parse(f"far://{self.top}/{path}{'/' if folder and path else ''}")

    def store(self):
        return self.storage.of(self.at())

    async def with_section(self, **changes):
        await self.storage.configure(remotes(far={**self.server.section(), **changes}))


@pytest.fixture(params=KINDS)
async def site(request, tmp_path):
    kinds = {"asyncssh": Ssh, "azurite": Azurite}
    root = tmp_path / "far"
    server = await (kinds[request.param](root) if request.param in kinds else Served(request.param, root)).start()
    storage = Storage(ENVIRON, remotes(far=server.section()))
    yield Site(server, storage, "top")
    await storage.close()
    await server.stop()


@pytest.fixture
async def sftp(tmp_path):
    server = await Served("sftp", tmp_path / "far").start()
    storage = Storage(ENVIRON, remotes(far=server.section()))
    yield Site(server, storage, "top")
    await storage.close()
    await server.stop()


def rclone_pids(storage):
    """The rclone that serves this storage: the child of our keeper."""
    running = storage.rclone()._running
    if running is None:
        return []
    children = Path(f"/proc/{running.keeper.pid}/task/{running.keeper.pid}/children").read_text().split()
    return [int(p) for p in children if b"rcd" in Path(f"/proc/{p}/cmdline").read_bytes()]


async def test_files_of_any_name_go_there_and_come_back(site, tmp_path):
    names = ["plain.txt", "with space/and 'quote\" .txt", "ünï/文字.bin", "deep/a/b/c/d", "star*?[x]{y}~#%41+&=;,!.txt"]
    if isinstance(site.server, Azurite):
        names.remove("with space/and 'quote\" .txt")  # it loses the quotes
    store = site.store()
    for n, name in enumerate(names):
        data = name.encode() * (n + 1)
        (tmp_path / "here").write_bytes(data)
        stored = await store.put(str(tmp_path / "here"), site.at().below(name))
        assert stored == (len(data), hashlib.sha256(data).hexdigest())
    found = await store.listing(site.at(folder=True))
    assert sorted(f.path for f in found) == sorted(names)
    assert all(f.size > 0 and f.version and f.modified > 1e9 for f in found)
    for n, name in enumerate(names):
        target = tmp_path / "back"
        assert await store.fetch(site.at().below(name), str(target)) == len(name.encode()) * (n + 1)
        assert target.read_bytes() == name.encode() * (n + 1)
        assert stat.S_IMODE(target.stat().st_mode) == 0o644
        assert (await store.stat(site.at().below(name)))[1:3] == next(f for f in found if f.path == name)[1:3]
    assert sorted(set(os.listdir(tmp_path)) - {"far-cache"}) == ["back", "far", "here"]


async def test_outputs_are_published_by_copies_and_a_manifest_and_their_private_folder_goes(site, tmp_path):
    store, output = site.store(), site.at("out", folder=True)
    private = uri.private(output, "1.0.1")
    (tmp_path / "a").write_bytes(b"first")
    for name in ("x/one", "x/two", "three"):
        await store.put(str(tmp_path / "a"), private.below(name))
    assert await store.digest(private.below("three")) == hashlib.sha256(b"first").hexdigest()
    for name in ("x/one", "x/two", "three"):
        await store.copy(private.below(name), output.below(name), 5)
    await store.settle([output])
    await store.put_bytes(b"{}", uri.manifest(output, "1.0"))
    assert await store.read_bytes(uri.manifest(output, "1.0")) == b"{}"
    await store.drop(private, ["x/one", "x/two", "three"])
    await store.drop(private, ["x/one", "x/two", "three"])
    found = {f.path for f in await store.listing(output)}
    assert found == {"x/one", "x/two", "three", ".longshore/1.0.json"}
    with pytest.raises(StoreError) as caught:
        await store.copy(private.below("three"), output.below("three"), 5)
    assert caught.value.missing


async def test_other_bytes_of_the_same_size_and_time_replace_what_is_there(site, tmp_path):
    store, here = site.store(), tmp_path / "here"
    for data in (b"aaaa", b"bbbb"):
        here.write_bytes(data)
        os.utime(here, (1_700_000_000, 1_700_000_000))
        await store.put(str(here), site.at("new"))
        await store.copy(site.at("new"), site.at("final"), 4)
        assert await store.read_bytes(site.at("final")) == data


async def test_what_is_not_there_is_missing(site, tmp_path):
    store = site.store()
    await store.put_bytes(b"x", site.at("file"))
    for work in (
        store.stat(site.at("nothing")), store.fetch(site.at("nothing"), str(tmp_path / "t")),
        store.read_bytes(site.at("no/thing")), store.digest(site.at("nothing")),
    ):  # fmt: skip
        with pytest.raises(StoreError) as caught:
            await work
        assert caught.value.missing
        assert not caught.value.retriable
        assert "far://top/no" in str(caught.value)
    if isinstance(site.server, Azurite):
        assert await store.listing(site.at("nothing", folder=True)) == []
        with pytest.raises(StoreError, match="far://absent") as caught:
            await store.listing(uri.parse("far://absent/"))
    else:
        with pytest.raises(StoreError, match="directory not found") as caught:
            await store.listing(site.at("nothing", folder=True))
    assert caught.value.missing
    assert not (tmp_path / "t").exists()


async def test_a_wrong_password_is_told_and_no_retry_helps(site):
    if isinstance(site.server, Azurite):
        await site.with_section(key="d3Jvbmc=")
    else:
        await site.storage.configure(remotes(far=site.server.section("Wr0ng-password")))
    with pytest.raises(StoreError) as caught:
        await site.store().listing(site.at(folder=True))
    assert not caught.value.retriable
    assert not caught.value.missing
    assert "Wr0ng" not in str(caught.value)


async def test_progress_is_counted_while_bytes_move_and_bandwidth_is_kept(sftp, tmp_path):
    size = 6 << 20
    (sftp.server.root / "top").mkdir()
    (sftp.server.root / "top/big").write_bytes(os.urandom(size))
    meter = Meter(Bandwidth(4 << 20))
    seen, limits = set(), set()

    async def watch():
        await until(lambda: meter.done > 0)
        limits.add((await sftp.storage.rclone().call("core/bwlimit", 5))["bytesPerSecondRx"])
        while True:
            seen.add(meter.done)
            await asyncio.sleep(0.05)

    watching = asyncio.ensure_future(watch())
    began = time.monotonic()
    await sftp.store().fetch(sftp.at("big"), str(tmp_path / "big"), meter)
    took = time.monotonic() - began
    watching.cancel()
    assert meter.done == size
    assert len(seen) > 2
    assert limits == {4 << 20}
    assert took > 0.8


async def test_a_cancelled_transfer_ends_within_a_second_here_and_in_rclone(sftp, tmp_path):
    (sftp.server.root / "top").mkdir()
    with (sftp.server.root / "top/big").open("wb") as file:
        file.truncate(20 << 30)
    store, meter = sftp.store(), Meter()
    (tmp_path / "dir").mkdir()
    fetching = asyncio.ensure_future(store.fetch(sftp.at("big"), str(tmp_path / "dir/big"), meter))
    await until(lambda: meter.done > 0)
    began = time.monotonic()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert time.monotonic() - began < 1
    assert os.listdir(tmp_path / "dir") == []
    daemon = sftp.storage.rclone()
    async with asyncio.timeout(5):
        while len((await daemon.call("job/list", 5))["runningIds"]) > 1:  # the question itself is one
            await asyncio.sleep(0.02)
    assert os.listdir(tmp_path / "dir") == []


async def test_a_killed_rclone_fails_what_was_under_way_for_now_and_the_next_call_works(sftp, tmp_path):
    (sftp.server.root / "top").mkdir()
    with (sftp.server.root / "top/big").open("wb") as file:
        file.truncate(20 << 30)
    store, meter = sftp.store(), Meter()
    fetching = asyncio.ensure_future(store.fetch(sftp.at("big"), str(tmp_path / "big"), meter))
    await until(lambda: meter.done > 0)
    first = sftp.storage.rclone().folder
    os.kill(rclone_pids(sftp.storage)[0], signal.SIGKILL)
    with pytest.raises(StoreError) as caught:
        await fetching
    assert caught.value.retriable
    await store.put_bytes(b"here again", sftp.at("small"))
    assert await store.read_bytes(sftp.at("small")) == b"here again"
    assert not os.path.exists(first)
    second = sftp.storage.rclone().folder
    os.kill(rclone_pids(sftp.storage)[0], signal.SIGKILL)
    await until(lambda: not os.path.exists(second))
    assert await store.read_bytes(sftp.at("small")) == b"here again"


async def test_a_server_that_goes_away_is_no_fault_of_the_task(sftp, tmp_path):
    await sftp.store().put_bytes(b"x", sftp.at("small"))
    await sftp.server.stop()
    with pytest.raises(StoreError) as caught:
        await sftp.store().read_bytes(sftp.at("small"))
    assert caught.value.retriable
    await sftp.server.start()
    assert await sftp.store().read_bytes(sftp.at("small")) == b"x"


@pytest.mark.slow
async def test_a_server_killed_in_the_middle_of_a_transfer_leaves_nothing_half(sftp, tmp_path):
    (tmp_path / "big").write_bytes(bytes(64 << 20))
    meter = Meter(Bandwidth(8 << 20))
    putting = asyncio.ensure_future(sftp.store().put(str(tmp_path / "big"), sftp.at("big"), meter))
    await until(lambda: meter.done > 0)
    await sftp.server.stop()
    with pytest.raises(StoreError) as caught:
        await putting
    assert caught.value.retriable
    assert meter.done == 0
    await sftp.server.start()
    with pytest.raises(StoreError, match="not there"):
        await sftp.store().stat(sftp.at("big"))


async def test_rclone_sleeps_when_idle_and_leaves_nothing_behind(sftp):
    daemon = RcloneDaemon(sftp.storage.remotes, ENVIRON, idle=0.05)
    async with daemon.use():
        folder = daemon.folder
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        assert stat.S_IMODE(os.stat(f"{folder}/rclone.conf").st_mode) == 0o600
        assert (await daemon.call("config/listremotes", 5))["remotes"] == ["far"]
    await until(lambda: not os.path.exists(folder))
    async with daemon.use():
        again = daemon.folder
        assert again != folder
    await daemon.close()
    assert not os.path.exists(again)


async def test_rclone_and_its_configuration_go_when_its_owner_is_killed(sftp, tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from longshore_data.remotes import Remotes\n"
        "from longshore_data.stores.rclone_daemon import RcloneDaemon\n"
        "async def main():\n"
        "    daemon = RcloneDaemon(Remotes({'far': {'type': 'memory'}}), dict(os.environ))\n"
        "    async with daemon.use():\n"
        "        print(daemon.folder, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    import sys

    owner = await asyncio.create_subprocess_exec(sys.executable, str(script), stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        folder = (await owner.stdout.readline()).decode().strip()
    assert os.path.exists(f"{folder}/rclone.conf")
    owner.kill()
    await owner.wait()
    await until(lambda: not os.path.exists(folder))


async def test_what_a_killed_host_left_behind_is_removed_by_the_next_rclone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, empty, young = (tmp_path / f"longshore-rclone-{name}" for name in ("dead", "empty", "young"))
    for folder in (dead, empty, young):
        folder.mkdir()
        (folder / "rclone.conf").write_text("[far]")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead / "socket"))
    os.utime(empty, (1, 1))
    daemon = RcloneDaemon(remotes(far={"type": "memory"}), ENVIRON)
    async with daemon.use():
        assert {p for p in tmp_path.iterdir() if p.is_dir()} == {young, Path(daemon.folder)}
    await daemon.close()


async def test_no_argument_no_variable_no_word_shows_a_credential(sftp, tmp_path, capfd):
    secrets = [PASSWORD, sftp.server.section()["pass"], sftp.storage.remotes.section("far")["pass"]]
    await sftp.store().put_bytes(b"x", sftp.at("small"))
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) == sftp.server.process.pid:
            continue
        try:
            shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        assert not any(s.encode() in shown for s in secrets), pid
    storage = sftp.storage
    assert not any(s in repr(x) for s in secrets for x in (storage.remotes, storage.rclone(), sftp.store(), storage))
    log = Path(storage.rclone().folder, "log").read_text() if storage.rclone()._running else ""
    assert not any(s in log for s in secrets)
    hidden = storage.remotes.hidden(f"GET https://u:{PASSWORD}@host/x?sv=1&sig=abc%2F: {secrets[2]}")
    assert not re.search(f"{PASSWORD}|abc|{re.escape(secrets[2])}", hidden)
    assert hidden.startswith("GET https://u:…@host/x?sv=1&sig=…")


async def test_a_remote_of_type_s3_is_our_own_client_and_exotic_ones_are_rclone(tmp_path):
    server = S3Server(tmp_path / "s3").start()
    server.make_bucket("bucket")
    section = {
        "type": "s3", "provider": "Other", "access_key_id": ACCESS, "secret_access_key": SECRET,
        "endpoint": f"http://127.0.0.1:{server.port}", "force_path_style": "true", "acl": "private",
    }  # fmt: skip
    storage = Storage(ENVIRON, remotes(mine=section, exotic={**section, "storage_class": "GLACIER_IR"}))
    mine, exotic = uri.parse("mine://bucket/a/b"), uri.parse("exotic://bucket/a/b")
    await storage.of(mine).put_bytes(b"by us", mine)
    assert storage.rclone()._running is None
    assert (tmp_path / "s3/bucket/a/b").read_bytes() == b"by us"
    assert [f.path for f in await storage.of(mine).listing(uri.parse("mine://bucket/a/"))] == ["b"]
    assert await storage.of(exotic).read_bytes(exotic) == b"by us"
    assert storage.rclone()._running is not None
    with pytest.raises(StoreError, match="names no bucket"):
        await storage.of(mine).listing(uri.parse("mine://"))
    await storage.close()
    server.stop()


async def test_an_rclone_that_is_too_old_is_not_taken(tmp_path):
    old = tmp_path / "rclone"
    old.write_text("#!/bin/sh\necho rclone v1.60.1-DEV\n")
    old.chmod(0o755)
    found = await find_rclone({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert found != str(old)
    with pytest.raises(StoreError, match=r"1\.65"):
        await find_rclone({"LONGSHORE_RCLONE": str(old)})


async def test_transfers_go_on_when_the_configuration_changes(sftp, tmp_path):
    (sftp.server.root / "top").mkdir()
    (sftp.server.root / "top/big").write_bytes(bytes(3 << 20))
    meter = Meter(Bandwidth(2 << 20))
    fetching = asyncio.ensure_future(sftp.store().fetch(sftp.at("big"), str(tmp_path / "big"), meter))
    await until(lambda: meter.done > 0)
    await sftp.storage.configure(remotes(near={"type": "alias", "remote": str(tmp_path)}))
    assert await fetching == 3 << 20
    near = uri.parse("near://big")
    assert (await sftp.storage.of(near).stat(near)).size == 3 << 20


@pytest.mark.slow
async def test_ten_thousand_files_are_listed_and_fetched(sftp, tmp_path):
    from longshore_data.meter import Limits
    from longshore_data.transfer import Transfer

    top = sftp.server.root / "top"
    top.mkdir()
    for n in range(10_000):
        (top / f"f{n:05}").write_bytes(b"%d" % n)
    began = time.monotonic()
    (tmp_path / "in").mkdir()
    await Transfer(sftp.storage, Limits()).bring([uri.source("far://top/")], str(tmp_path / "in"))
    assert len(os.listdir(tmp_path / "in")) == 10_000
    assert (tmp_path / "in/f09999").read_bytes() == b"9999"
    assert time.monotonic() - began < 150
