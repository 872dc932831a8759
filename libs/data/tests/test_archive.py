"""The log in storage: what was stored is what comes back, checked; a crash leaves nothing half; on files and on S3."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from longshore_common.errors import BadInput, Refused, Unreadable
from longshore_data.archive import Archive, Kept, Manifest, packed, unpacked
from longshore_data.stores.s3 import S3Store
from longshore_data.stores.s3_client import S3Settings

from .test_s3 import Moto, with_bucket

BODIES = [b'{"type":"x","a":[1, 2]}', b"{", b"\x00\xff", b"", '{"u":"ü\\n"}'.encode()]


def some(first: int, count: int) -> list[Kept]:
    return [Kept(k, 1e9 + k, "log.user.ann.wish", BODIES[k % len(BODIES)]) for k in range(first, first + count)]


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    server = Moto()
    yield server
    server.stop()


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
async def archive(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Archive]:
    environ: dict[str, str] = {"HOME": str(tmp_path)}
    folder = f"file://{tmp_path}/archive"
    if request.param == "s3":
        environ |= request.getfixturevalue("moto").environ
        folder = f"s3://archive/{tmp_path.name}/log"
        store = S3Store(S3Settings.from_environ(environ))
        await with_bucket(store, "archive")
        await store.close()
    made = Archive(folder, environ)
    yield made
    await made.close()


async def back(archive: Archive, after: int = 0, until: int = 1 << 60) -> list[Kept]:
    return [kept async for found in archive.events(after, until) for kept in found]


async def test_what_was_stored_comes_back_in_order_and_in_part(archive: Archive) -> None:
    manifest = await archive.manifest()
    assert (manifest, await back(archive)) == (Manifest(), [])
    for first, count in ((1, 7), (8, 1), (9, 30)):
        manifest = await archive.append(manifest, some(first, count))
    assert await archive.manifest() == manifest
    assert [(x.first, x.last, x.count) for x in manifest.segments] == [(1, 7, 7), (8, 8, 1), (9, 38, 30)]
    shown = [Kept(k.seq, k.at, k.subject, b'{"type":"x","a":[1,2]}' if k.seq % 5 == 0 else k.body) for k in some(1, 38)]
    assert await back(archive) == shown
    assert await back(archive, 6, 10) == shown[6:10]


async def test_what_is_there_is_not_stored_again(archive: Archive) -> None:
    manifest = await archive.append(Manifest(), some(1, 7))
    with pytest.raises(BadInput, match="up to 7"):
        await archive.append(manifest, some(7, 2))


async def test_a_segment_that_the_manifest_does_not_name_is_written_over(archive: Archive) -> None:
    await archive.append(Manifest(), some(1, 7))
    again = await archive.append(Manifest(), some(1, 9))
    assert [(x.first, x.last) for x in again.segments] == [(1, 9)]
    assert len(await back(archive)) == 9


async def test_damage_is_noticed_before_an_event_is_believed(tmp_path: Path) -> None:
    archive = Archive(f"file://{tmp_path}", {"HOME": str(tmp_path)})
    await archive.append(Manifest(), some(1, 7))
    (segment,) = (tmp_path / "segments").iterdir()
    segment.write_bytes(segment.read_bytes()[:-9] + b"123456789")
    with pytest.raises(Unreadable, match="is not what was stored"):
        await back(archive)
    (tmp_path / "manifest.json").write_bytes(b"{")
    with pytest.raises(Unreadable, match="manifest"):
        await archive.manifest()
    (tmp_path / "manifest.json").write_bytes(b'{"format":2,"segments":[]}')
    with pytest.raises(Refused, match="upgrade"):
        await archive.manifest()
    await archive.close()


def test_a_segment_is_lines_that_other_tools_read_and_the_same_each_time() -> None:
    data = packed(some(5, 2))
    assert data == packed(some(5, 2))
    line = json.loads(gzip.decompress(data).splitlines()[0])
    assert line == {"seq": 5, "at": 1000000005.0, "subject": "log.user.ann.wish", "event": {"type": "x", "a": [1, 2]}}
    with pytest.raises(Unreadable):
        unpacked(b"nothing")
