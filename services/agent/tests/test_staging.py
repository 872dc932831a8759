"""Staging against real servers and a real disk: what lands where, what is delivered, and what goes wrong how."""

import asyncio
import os
import resource
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from longshore_agent.adapters.staging import StorageStager
from longshore_agent.core.contract import Places
from longshore_agent.core.ports import StagingError
from longshore_common.events import Start
from longshore_common.ids import AttemptId, TaskId
from longshore_common.model import OutputFile, TaskSpec
from longshore_common.testing.waiting import until
from longshore_data import uri
from longshore_data.storage import Storage
from longshore_data.stores.s3 import S3Store, Sizes
from longshore_data.stores.s3_client import S3Settings

from .storage import Server, free_port

NAMES = [
    "plain",
    "with space.txt",
    'quo\'te "double"',
    "été-日本語-🚢.bin",
    "a+b&c=d%20?#~.x",
    "deep/er/still/x",
    "-dash",
]
A, T = AttemptId("5.0.1"), TaskId("5.0")


@pytest.fixture(scope="module", params=["rclone", pytest.param("moto", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp(request.param) / "s3"
    root.mkdir()
    made = Server(request.param, root).start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("rclone-alone") / "s3"
    (root / "bucket").mkdir(parents=True)
    made = Server("rclone", root).start()
    yield made
    made.stop()


@pytest.fixture
async def bucket(server: Server) -> str:
    await make_bucket(server.environ, "bucket")
    return "bucket"


async def make_bucket(environ: dict[str, str], name: str) -> None:
    store = S3Store(S3Settings.from_environ(environ))
    client = await store._clients.get(store._settings)
    if name not in [b["Name"] for b in (await client.list_buckets())["Buckets"]]:
        await client.create_bucket(Bucket=name)
    await store.close()


@pytest.fixture
async def stager(server: Server, bucket: str) -> AsyncIterator[StorageStager]:
    made = StorageStager(Storage(server.environ))
    yield made
    await made.close()


@pytest.fixture
async def local() -> AsyncIterator[StorageStager]:
    made = StorageStager(Storage({}))
    yield made
    await made.close()


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def fill(root: Path, names: list[str] = NAMES) -> dict[str, bytes]:
    files = {name: f"content of {name}".encode() * (i + 1) for i, name in enumerate(names)}
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return files


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


async def bring(stager: StorageStager, target: Path, *uris: str) -> int:
    meter = stager.meter()
    places = Places(str(target), "", "", str(target))
    await stager.stage_in(A, TaskSpec(command=("x",), inputs=uris), Start(0, 1), places, meter)
    return meter.done


async def published(stager: StorageStager, output: str, delivered: Sequence[OutputFile]) -> None:
    """As an agent does: this rclone answers 500 to one of thousands of copies on a busy host, and says that it may pass."""
    for left in range(4, -1, -1):
        try:
            return await stager.publish(A, T, output, delivered)
        except StagingError as err:
            if not (left and err.retriable):
                raise


async def both_ways(stager: StorageStager, output: str, tmp_path: Path) -> None:
    made = folder(tmp_path, "made")
    files = fill(made)
    (made / "empty folder").mkdir()
    delivered, size = await stager.deliver(A, output, str(made))
    assert {f.path for f in delivered} == set(files)
    assert size == sum(map(len, files.values()))
    with pytest.raises(StagingError):
        await bring(stager, folder(tmp_path, "too early"), f"{output}/")
    assert await stager.publish(A, T, output, delivered) == len(files)
    back = folder(tmp_path, "back")
    assert await bring(stager, back, f"{output}/") == size
    assert tree(back) == files
    one = folder(tmp_path, "one")
    await bring(stager, one, f"{output}/{NAMES[3]}", f"{output}/deep/er/still/x", f"{output}/deep/er/still/x")
    assert tree(one) == {NAMES[3]: files[NAMES[3]], "x": files["deep/er/still/x"]}


async def test_any_name_goes_to_s3_and_comes_back(stager: StorageStager, bucket: str, tmp_path: Path) -> None:
    await both_ways(stager, f"s3://{bucket}/way out/é", tmp_path)


async def test_any_name_goes_to_a_folder_and_comes_back(local: StorageStager, tmp_path: Path) -> None:
    await both_ways(local, f"file://{tmp_path}/way out/é", tmp_path)


async def test_inputs_from_a_folder_may_be_run_if_their_sources_may(local: StorageStager, tmp_path: Path) -> None:
    source = folder(tmp_path, "source")
    (source / "tool").write_text("#!/bin/sh\n")
    (source / "tool").chmod(0o700)
    (source / "data").write_text("x")
    (source / "data").chmod(0o600)
    target = folder(tmp_path, "target")
    await bring(local, target, f"file://{source}/tool", f"file://{source}/data")
    assert [(target / n).stat().st_mode & 0o777 for n in ("tool", "data")] == [0o755, 0o644]


async def test_two_inputs_of_one_name_are_an_error_that_names_both(local: StorageStager, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (folder(tmp_path, name) / "x").write_text(name)
    with pytest.raises(StagingError, match="both be called 'x'") as caught:
        await bring(local, folder(tmp_path, "in"), f"file://{tmp_path}/a/x", f"file://{tmp_path}/b/x")
    assert (caught.value.cause, caught.value.retriable) == ("stage-in", False)
    assert "a/x" in caught.value.reason
    assert "b/x" in caught.value.reason


async def test_links_inside_are_followed_and_everything_else_is_left_out(local: StorageStager, tmp_path: Path) -> None:
    made = folder(tmp_path, "made")
    (made / "real").write_text("r")
    (made / "link").symlink_to("real")
    (made / "from inside").symlink_to("/output/real")
    (made / "out").symlink_to("/etc/passwd")
    (made / "sneaky").symlink_to("../secret")
    (tmp_path / "secret").write_text("s")
    (made / "dangling").symlink_to("nowhere")
    (made / "sub").mkdir()
    (made / "loop").symlink_to(".")
    os.mkfifo(made / "pipe")
    with socket.socket(socket.AF_UNIX) as s:
        here = Path.cwd()
        os.chdir(made)
        s.bind("sock")
        os.chdir(here)
        delivered, _ = await local.deliver(A, f"file://{tmp_path}/out", str(made))
    assert sorted(f.path for f in delivered) == ["from inside", "link", "real"]
    assert len({f.digest for f in delivered}) == 1


async def test_a_name_that_is_not_utf_8_or_ours_fails_the_delivery_clearly(
    local: StorageStager, tmp_path: Path
) -> None:
    made = folder(tmp_path, "made")
    Path(os.fsdecode(os.fsencode(made) + b"/\xff")).write_text("x")
    with pytest.raises(StagingError, match="not UTF-8"):
        await local.deliver(A, f"file://{tmp_path}/out", str(made))
    other = folder(tmp_path, "other")
    (other / ".longshore").mkdir()
    (other / ".longshore" / "x").write_text("x")
    with pytest.raises(StagingError, match="rename it"):
        await local.deliver(A, f"file://{tmp_path}/out", str(other))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/plain/path", "plain path"), ("file:///no/such/file", "No such file"),
        ("file:///no/such/folder/", "No such file"), ("file:///etc", "end the URI in /"),
    ],
)  # fmt: skip
async def test_inputs_that_can_never_come_say_so(local: StorageStager, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(StagingError, match=words) as caught:
        await bring(local, tmp_path, text)
    assert (caught.value.cause, caught.value.retriable) == ("stage-in", False)


@pytest.mark.parametrize(
    "text", ["s3://bucket/none", "s3://bucket/none/", "s3://no-such-bucket/x", "s3://no-such-bucket/x/"]
)
async def test_what_is_not_on_s3_is_definite(stager: StorageStager, tmp_path: Path, text: str) -> None:
    with pytest.raises(StagingError) as caught:
        await bring(stager, tmp_path, text)
    assert (caught.value.cause, caught.value.retriable) == ("stage-in", False)
    assert caught.value.definite == ("bucket/none" in text)
    assert text.split("/")[2] in caught.value.reason
    assert os.listdir(tmp_path) == []


async def test_an_output_bucket_that_does_not_exist_is_definite(stager: StorageStager, tmp_path: Path) -> None:
    made = folder(tmp_path, "made")
    fill(made)
    with pytest.raises(StagingError, match="NoSuchBucket") as caught:
        await stager.deliver(A, "s3://no-such-bucket/x", str(made))
    assert (caught.value.cause, caught.value.retriable) == ("stage-out", False)


@pytest.mark.parametrize(("name", "value"), [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "somebodyelse")])
async def test_wrong_credentials_are_definite(rclone: Server, tmp_path: Path, name: str, value: str) -> None:
    stager = StorageStager(Storage({**rclone.environ, name: value}))
    with pytest.raises(StagingError, match=name) as caught:
        await bring(stager, tmp_path, "s3://bucket/x")
    assert not caught.value.retriable
    await stager.close()


@pytest.mark.slow
async def test_a_server_that_is_away_may_come_back(tmp_path: Path) -> None:
    stager = StorageStager(Storage({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}", "AWS_ACCESS_KEY_ID": "a" * 9,
                            "AWS_SECRET_ACCESS_KEY": "b"}))  # fmt: skip
    async with asyncio.timeout(20):
        with pytest.raises(StagingError, match="cannot be reached") as caught:
            await bring(stager, tmp_path, "s3://bucket/x")
    assert caught.value.retriable
    await stager.close()


async def test_a_server_that_accepts_and_says_nothing_is_left_at_once_when_cancelled(tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        stager = StorageStager(Storage({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{mute.getsockname()[1]}",
                                "AWS_ACCESS_KEY_ID": "a" * 9, "AWS_SECRET_ACCESS_KEY": "b"}))  # fmt: skip
        call = asyncio.ensure_future(bring(stager, tmp_path, "s3://bucket/x"))
        await asyncio.get_running_loop().run_in_executor(None, mute.accept)
        await cancelled_within_a_second(call)
        await stager.close()


async def cancelled_within_a_second(call: "asyncio.Future[object]") -> None:
    began = time.monotonic()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert time.monotonic() - began < 1


async def test_large_objects_go_in_parts_both_ways(server: Server, bucket: str, tmp_path: Path) -> None:
    small_parts = S3Store(S3Settings.from_environ(server.environ), sizes=Sizes(part=5 << 20))
    stager = StorageStager(Storage({}, stores={"s3": small_parts}))
    made, back = folder(tmp_path, "made"), folder(tmp_path, "back")
    data = os.urandom((17 << 20) + 123)
    (made / "large").write_bytes(data)
    await stager.deliver(A, f"s3://{bucket}/large", str(made))
    assert await stager.publish(A, T, f"s3://{bucket}/large", None) == 1
    assert await bring(stager, back, f"s3://{bucket}/large/large") == len(data)
    assert tree(back) == {"large": data}
    assert os.listdir(back) == ["large"]
    await stager.close()


async def test_a_cancelled_transfer_leaves_nothing_to_be_seen(server: Server, bucket: str, tmp_path: Path) -> None:
    store = S3Store(S3Settings.from_environ(server.environ), sizes=Sizes(part=5 << 20))
    stager = StorageStager(Storage({}, stores={"s3": store}))
    made, back = folder(tmp_path, "made"), folder(tmp_path, "back")
    (made / "large").write_bytes(os.urandom(60 << 20))
    output = f"s3://{bucket}/cancelled"
    call = asyncio.ensure_future(stager.deliver(A, output, str(made)))
    client = await store._clients.get(store._settings)
    await begun(client, bucket)
    await cancelled_within_a_second(call)
    assert await store.listing(uri.parse(output + "/")) == []
    await stager.deliver(A, output, str(made))
    fetching = asyncio.ensure_future(bring(stager, back, f"{output}/.longshore/{A}/large"))
    await until(lambda: any(p.stat().st_size > 1 << 20 for p in back.iterdir()))
    await cancelled_within_a_second(fetching)
    assert os.listdir(back) == []
    await stager.close()


async def begun(client: object, bucket: str) -> None:
    async with asyncio.timeout(10):
        while not (await client.list_multipart_uploads(Bucket=bucket)).get("Uploads"):  # type: ignore[attr-defined]
            await asyncio.sleep(0)


async def test_a_cancelled_copy_between_folders_leaves_nothing_to_be_seen(local: StorageStager, tmp_path: Path) -> None:
    source, back = folder(tmp_path, "source"), folder(tmp_path, "back")
    with (source / "large").open("wb") as file:
        for _ in range(32):
            file.write(os.urandom(8 << 20))
    call = asyncio.ensure_future(bring(local, back, f"file://{source}/large"))
    await until(lambda: any(back.iterdir()))
    await cancelled_within_a_second(call)
    assert os.listdir(back) == []


@pytest.mark.slow
async def test_a_server_killed_in_the_middle_may_come_back_and_the_same_call_then_succeeds(tmp_path: Path) -> None:
    root = tmp_path / "s3"
    (root / "bucket").mkdir(parents=True)
    server = Server("rclone", root).start()
    stager = StorageStager(Storage(server.environ))
    made = folder(tmp_path, "made")
    files = fill(made, [f"f{i}" for i in range(150)])
    call = asyncio.ensure_future(stager.deliver(A, "s3://bucket/out", str(made)))
    await until(lambda: sum(1 for _ in root.rglob("f*")) > 20)
    server.stop()
    with pytest.raises(StagingError) as caught:
        await call
    assert caught.value.retriable
    server.start()
    delivered, _ = await stager.deliver(A, "s3://bucket/out", str(made))
    assert await stager.publish(A, T, "s3://bucket/out", delivered) == 150
    there = {
        name for name in tree(root / "bucket" / "out") if ".rclone_temp_put" not in name
    }  # the killed server's own
    assert there == files.keys() | {".longshore/5.0.json"}
    await stager.close()
    server.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = folder(tmp_path, "disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root can mount a small disk: a full disk was not tried")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


async def test_a_full_disk_is_named(rclone: Server, tmp_path: Path, small_disk: Path) -> None:
    stager = StorageStager(Storage(rclone.environ))
    made = folder(tmp_path, "made")
    for path in (rclone.root / "bucket" / "big", made / "big"):
        path.write_bytes(bytes(1 << 20))
    for call in (
        bring(stager, small_disk, "s3://bucket/big"),
        bring(stager, small_disk, f"file://{made}/big"),
        stager.deliver(A, f"file://{small_disk}/out", str(made)),
    ):
        with pytest.raises(StagingError, match="free space") as caught:
            await call
        assert (caught.value.cause, caught.value.retriable) == ("disk-full", True)
    assert tree(small_disk) == {}
    await stager.close()


async def test_leftovers_of_an_earlier_try_are_cleared_away(local: StorageStager, tmp_path: Path) -> None:
    source, target = folder(tmp_path, "source"), folder(tmp_path, "in")
    files = fill(source)
    (target / "deep").mkdir()
    for name in (".longshore-part-0", "deep/.longshore-part-1"):
        (target / name).write_text("half")
    (target / "plain").write_text("from an earlier try")
    await bring(local, target, f"file://{source}/")
    assert tree(target) == files


@pytest.mark.slow
async def test_two_thousand_small_objects_go_and_come_back(rclone: Server, tmp_path: Path) -> None:
    stager = StorageStager(Storage(rclone.environ))
    made, back = folder(tmp_path, "made"), folder(tmp_path, "back")
    files = fill(made, [f"{i % 40}/f {i}" for i in range(2000)])
    delivered, _ = await stager.deliver(A, "s3://bucket/many", str(made))
    await published(stager, "s3://bucket/many", delivered)
    await bring(stager, back, "s3://bucket/many/")
    assert tree(back) == files
    await stager.close()


@pytest.mark.slow
async def test_three_hundred_megabytes_go_and_come_back_in_little_memory(rclone: Server, tmp_path: Path) -> None:
    stager = StorageStager(Storage(rclone.environ))
    made, back = folder(tmp_path, "made"), folder(tmp_path, "back")
    with (made / "big").open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    delivered, size = await stager.deliver(A, "s3://bucket/huge", str(made))
    assert size == 300 << 20
    await stager.publish(A, T, "s3://bucket/huge", delivered)
    await bring(stager, back, "s3://bucket/huge/big")
    again, _ = await stager.deliver(AttemptId("6.0.1"), f"file://{tmp_path}/out", str(back))
    assert again == (OutputFile("big", size, delivered[0].digest),)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 600 << 10
    await stager.close()
