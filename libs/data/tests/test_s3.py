"""S3 against real servers: sizes at every edge, addresses of both styles, signatures, progress, bandwidth, copies."""

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from longshore_data import uri
from longshore_data.meter import Bandwidth, Meter
from longshore_data.stores.s3 import S3Store, Sizes
from longshore_data.stores.s3_client import S3Settings
from longshore_data.stores.s3_wire import NOTHING, Asked, Keys, signed

from .rclone_server import S3Server, free_port
from .s3_front import Front, Spoil

PART = 5 << 20  # the smallest that S3 allows


class Moto:
    """moto's server: keeps all in memory, answers ranges with 206, knows virtual hosts."""

    def __init__(self) -> None:
        self.port = free_port()
        command = [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, "moto did not start"
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.05)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "s",
        }

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module", params=["rclone", pytest.param("moto", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = S3Server(tmp_path_factory.mktemp("s3") / "s3").start() if request.param == "rclone" else Moto()
    yield made
    made.stop()


@pytest.fixture
async def store(server: Any) -> AsyncIterator[S3Store]:
    made = S3Store(S3Settings.from_environ(server.environ), sizes=Sizes(part=PART))
    await with_bucket(made, "bucket")
    yield made
    await made.close()


async def with_bucket(store: S3Store, name: str) -> None:
    client = await store._clients.get(store._settings)
    if name not in [b["Name"] for b in (await client.list_buckets())["Buckets"]]:
        await client.create_bucket(Bucket=name)


def at(name: str) -> uri.Location:
    return uri.parse(f"s3://bucket/{name}")


@pytest.mark.parametrize("size", [0, 1, (256 << 10) + 1, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 7])
async def test_any_size_goes_there_and_comes_back(store, tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "out").write_bytes(data)
    up, down = Meter(), Meter()
    stored = await store.put(str(tmp_path / "out"), at("sizes"), up)
    assert (stored.size, stored.digest) == (size, hashlib.sha256(data).hexdigest())
    assert await store.fetch(at("sizes"), str(tmp_path / "in"), down) == size
    assert (tmp_path / "in").read_bytes() == data
    assert (up.done, down.done) == (size, size)
    assert (await store.stat(at("sizes"))).size == size
    assert await store.digest(at("sizes")) == stored.digest


async def test_a_version_changes_with_the_bytes_and_is_the_same_in_a_listing(store):
    await store.put_bytes(b"one", at("v/x"))
    first = await store.stat(at("v/x"))
    assert first.version
    assert first.modified > 1_600_000_000
    assert [f.version for f in await store.listing(uri.parse("s3://bucket/v/"))] == [first.version]
    await store.put_bytes(b"two", at("v/x"))
    assert (await store.stat(at("v/x"))).version != first.version


@pytest.mark.parametrize("server", [pytest.param("moto", marks=pytest.mark.slow)], indirect=True)  # rclone does not
async def test_copies_larger_than_one_request_may_make_go_in_parts(server, tmp_path):
    store = S3Store(S3Settings.from_environ(server.environ), sizes=Sizes(copy_limit=PART, copy_part=PART))
    await with_bucket(store, "bucket")
    data = os.urandom(2 * PART + 3)
    await store.put_bytes(data, at("copied"))
    await store.copy(at("copied"), at("copy"), len(data))
    assert await store.read_bytes(at("copy")) == data
    await store.close()


async def test_a_folder_of_more_objects_than_one_page_is_listed_and_dropped_whole(store):
    names = [f"{i}/été {i}" for i in range(1100)]
    await asyncio.gather(*(store.put_bytes(b"x", at(f"pages/{name}")) for name in names))
    folder = uri.parse("s3://bucket/pages/")
    assert sorted(f.path for f in await store.listing(folder)) == sorted(names)
    await store.drop(folder, names)
    assert await store.listing(folder) == []


async def test_bytes_are_counted_as_they_flow_both_ways(server, tmp_path):
    size = 3 * PART
    (tmp_path / "out").write_bytes(os.urandom(size))
    async with Front(server.port) as front:
        environ = {**server.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{front.port}"}
        store = S3Store(S3Settings.from_environ(environ), sizes=Sizes(part=PART))
        await with_bucket(store, "bucket")
        await store.put(str(tmp_path / "out"), at("flow"))
        front.spoil = lambda _: Spoil(hang=1 << 20, hang_sent=1 << 20)  # no part ever comes to its end
        for make in (
            lambda meter: store.fetch(at("flow"), str(tmp_path / "in"), meter),
            lambda meter: store.put(str(tmp_path / "out"), at("flow-2"), meter),
        ):
            meter = Meter()
            call = asyncio.ensure_future(make(meter))
            async with asyncio.timeout(10):
                while meter.done < 1 << 20:
                    await asyncio.sleep(0.01)
            assert meter.done < size
            call.cancel()
            await asyncio.wait([call])
        await store.close()


@pytest.mark.parametrize("way", ["down", "up"])
async def test_a_limit_of_bandwidth_is_kept(store, tmp_path, way):
    size, rate = 3_000_000, 2_000_000  # a second's worth may go at once
    (tmp_path / "out").write_bytes(os.urandom(size))
    await store.put(str(tmp_path / "out"), at("slow"))
    meter = Meter(Bandwidth(rate))
    began = time.monotonic()
    if way == "down":
        await store.fetch(at("slow"), str(tmp_path / "in"), meter)
    else:
        await store.put(str(tmp_path / "out"), at("slow"), meter)
    assert 0.4 <= time.monotonic() - began < 5


@pytest.mark.slow
async def test_buckets_that_are_host_names_are_addressed_so(tmp_path, monkeypatch):
    real = socket.getaddrinfo

    def everything_local(host: Any, *rest: Any, **named: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith("localhost") else host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", everything_local)
    moto = Moto()
    async with Front(moto.port) as front:
        environ = {
            **moto.environ,
            "AWS_ENDPOINT_URL": f"http://localhost:{front.port}",
            "LONGSHORE_S3_ADDRESSING": "virtual",
        }
        store = S3Store(S3Settings.from_environ(environ), sizes=Sizes(part=PART))
        await with_bucket(store, "bucket")
        front.asked.clear()
        data = os.urandom(PART + 1)
        (tmp_path / "out").write_bytes(data)
        await store.put(str(tmp_path / "out"), at("a b/é"))
        await store.fetch(at("a b/é"), str(tmp_path / "in"))
        assert [f.path for f in await store.listing(uri.parse("s3://bucket/a b/"))] == ["é"]
        assert (tmp_path / "in").read_bytes() == data
        assert {a.headers["host"] for a in front.asked} == {f"bucket.localhost:{front.port}"}
        await store.close()
    moto.stop()


@pytest.mark.slow
async def test_a_part_that_was_damaged_on_its_way_is_noticed(tmp_path):
    moto = Moto()
    async with Front(moto.port) as front:
        store = S3Store(
            S3Settings.from_environ({**moto.environ, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{front.port}"}),
            sizes=Sizes(part=PART),
        )
        await with_bucket(store, "bucket")
        data = os.urandom(2 * PART)
        (tmp_path / "out").write_bytes(data)
        front.first(1, Spoil(flip_sent=500), lambda a: "partNumber=2" in a.target)
        await store.put(str(tmp_path / "out"), at("damaged"))
        assert await store.read_bytes(at("damaged")) == data
        assert sum("uploads" in a.target for a in front.asked) == 2
        await store.close()
    moto.stop()


async def test_credentials_show_in_no_repr():
    settings = S3Settings(access_key="known", secret_key="hush", token="hush")
    assert "hush" not in f"{settings!r}{settings}{Keys('known', 'hush', 'hush')!r}"


def test_a_remote_without_keys_is_anonymous_and_one_that_asks_for_the_hosts_own_is_not():
    assert S3Settings.from_remote({"type": "s3"}).anonymous
    assert not S3Settings.from_remote({"type": "s3", "env_auth": "true"}).anonymous
    assert not S3Settings.from_remote({"type": "s3", "access_key_id": "a", "secret_access_key": "s"}).anonymous


word = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=20)


@given(word, st.dictionaries(st.sampled_from(["partNumber", "uploadId", "x-id"]), word), st.booleans(), st.booleans())
def test_our_signatures_are_those_of_botocore(key, query, token, body):
    keys = Keys("AKID", "secret", "token" if token else "")
    path = "/b/" + quote(key, safe="/~")
    asks = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query.items()))
    digest = hashlib.sha256(b"x").hexdigest() if body else NOTHING
    extra = {"range": "bytes=0-9", "x-amz-meta-sha256": digest}
    ours = signed(Asked("PUT", "h:1", path, asks, digest, extra), keys, "eu-west-3", 1_800_000_000.0)
    request = AWSRequest(
        "PUT", f"http://h:1{path}{'?' if asks else ''}{asks}", data=b"x" if body else b"", headers=extra
    )
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    request.headers["X-Amz-Content-SHA256"] = digest
    if token:
        request.headers["X-Amz-Security-Token"] = "token"
    auth = S3SigV4Auth(Credentials("AKID", "secret", "token" if token else None), "s3", "eu-west-3")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    assert ours["authorization"].endswith(f"Signature={signature}")
