"""Images, against a real registry with a password and real engines: pulled, pinned, loaded from storage, and told of."""

import asyncio
import base64
import gzip
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import zstandard

from longshore_agent.adapters.containers import DockerEngine, Offers, credentials, stored
from longshore_agent.core.ports import ContainerError
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until
from longshore_data.meter import Limits
from longshore_data.storage import Storage
from longshore_data.transfer import Transfer

from .engine import IMAGE, engine_image, podman  # noqa: F401
from .storage import Server, free_port
from .test_containers import A, Yard, engine_needed

WORD = "word-of-the-registry"
_HASH = "$2b$04$AtNA4WGXxYYelijVwbQG2.VCMGdiMixvqAaZ1Si2kjxm/t.4F3AtW"  # bcrypt of WORD
STRANGE = "sha256:" + "0" * 64


class Registry(NamedTuple):
    """A registry that lets `user` in by WORD, with an image that no engine has any more."""

    address: str
    image: str
    digest: str
    logins: str  # a DOCKER_CONFIG folder of somebody who is logged in

    def environ(self, base: dict[str, str]) -> dict[str, str]:
        return {**base, "DOCKER_CONFIG": self.logins, "REGISTRY_AUTH_FILE": f"{self.logins}/config.json"}


def docker(*words: str, data: bytes | None = None, check: bool = True) -> bytes:
    return subprocess.run(["docker", *words], input=data, check=check, capture_output=True, timeout=60).stdout


@pytest.fixture(scope="module")
def registry(engine_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:  # noqa: F811
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("NO REGISTRY: apt-get install docker-registry; pulls with a login were not tested")
    root, port = tmp_path_factory.mktemp("registry"), free_port()
    (root / "users").write_text(f"user:{_HASH}\n")
    (root / "logins").mkdir()
    address = f"127.0.0.1:{port}"
    login = {"auths": {address: {"auth": base64.b64encode(f"user:{WORD}".encode()).decode()}}}
    (root / "logins" / "config.json").write_text(json.dumps(login))
    (root / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '{address}'}}\n"
        f"auth: {{htpasswd: {{realm: test, path: {root}/users}}}}\n"
    )
    log = (root / "log").open("wb")
    process = subprocess.Popen([program, "serve", str(root / "config.yml")], stdout=log, stderr=log)
    log.close()
    image = f"{address}/tools/box:1"
    try:
        docker("tag", IMAGE, image)
        for _ in range(100):
            pushed = subprocess.run(
                ["docker", "--config", str(root / "logins"), "push", image],
                check=False,
                capture_output=True,
                timeout=60,
            )
            if pushed.returncode == 0:
                break
            time.sleep(0.1)
        assert pushed.returncode == 0, pushed.stderr
        digest = docker("image", "inspect", "-f", "{{index .RepoDigests 0}}", image).decode().strip().rpartition("@")[2]
        docker("rmi", image)
        yield Registry(address, image, digest, str(root / "logins"))
    finally:
        process.terminate()
        process.wait(10)
        docker("rmi", "-f", image, check=False)


@pytest.fixture(params=["docker", "podman"])
def environ(request: pytest.FixtureRequest, engine_image: str) -> dict[str, str]:  # noqa: F811
    base = {k: v for k, v in os.environ.items() if k not in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE")}
    if request.param == "podman":
        base["DOCKER_HOST"] = f"unix://{request.getfixturevalue('podman').socket}"
    return base


def spec(image: str, **fields: object) -> TaskSpec:
    return TaskSpec(command=("true",), container=image, **fields)


async def remove(engine: DockerEngine, image: str) -> None:
    docker_, _ = await engine.connection.open()
    await docker_.images.delete(image, force=True)
    engine.images.forget(image)


@engine_needed
async def test_an_image_behind_a_login_is_pulled_and_its_digest_told(tmp_path, registry) -> None:
    yard = Yard(tmp_path, registry.environ(dict(os.environ)))
    await yard.engine.prepare(spec(registry.image))
    end = await yard.run("true", container=registry.image)
    assert end.image == f"{registry.address}/tools/box@{registry.digest}"
    shown = json.dumps(await yard.inspect())
    assert WORD not in shown
    assert base64.b64encode(f"user:{WORD}".encode()).decode() not in shown
    await yard.engine.forget(A)
    await remove(yard.engine, registry.image)
    pinned = f"{registry.address}/tools/box@{registry.digest}"
    end = await yard.run("true", container=pinned)
    assert end.image == pinned
    await yard.engine.forget(A)
    await remove(yard.engine, pinned)
    await yard.engine.close()


@engine_needed
async def test_without_a_login_the_fix_is_named_and_with_a_wrong_one_too(tmp_path, registry, engine_image) -> None:  # noqa: F811
    environ = {**os.environ, "HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)}
    engine = DockerEngine(environ, str(tmp_path))
    with pytest.raises(ContainerError, match="docker login") as caught:
        await engine.prepare(spec(registry.image))
    assert caught.value.cause == "image"
    wrong = base64.b64encode(b"user:wrong-word").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.address: {"auth": wrong}}}))
    with pytest.raises(ContainerError) as caught:
        await engine.prepare(spec(registry.image))
    assert "wrong-word" not in str(caught.value)
    assert wrong not in str(caught.value)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ContainerError, match="cannot be read"):
        await engine.prepare(spec(registry.image))
    await engine.close()


@engine_needed
async def test_never_does_not_pull_and_always_asks_each_time(tmp_path, registry, engine_image) -> None:  # noqa: F811
    engine = DockerEngine(registry.environ(dict(os.environ)), str(tmp_path))
    with pytest.raises(ContainerError, match="never"):
        await engine.prepare(spec(registry.image, pull="never"))
    await engine.prepare(spec(registry.image))
    first = docker("image", "inspect", "-f", "{{.Id}}", registry.image)
    docker("build", "-q", "-t", registry.image, "-", data=f"FROM {IMAGE}\nENV NEW=1\n".encode())
    docker("--config", registry.logins, "push", registry.image)
    docker("tag", first.decode().strip(), registry.image)  # as if another host had pushed the new one
    await engine.prepare(spec(registry.image))
    assert docker("image", "inspect", "-f", "{{.Id}}", registry.image) == first
    await engine.prepare(spec(registry.image, pull="always"))
    assert docker("image", "inspect", "-f", "{{.Id}}", registry.image) != first
    await remove(engine, registry.image)
    await engine.close()


async def test_a_credential_helper_is_asked_and_a_silent_one_is_passed_over(tmp_path: Path) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text('#!/bin/sh\nread where\necho "{\\"Username\\": \\"u-$where\\", \\"Secret\\": \\"s\\"}"\n')
    helper.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"r.example:5": "test"}, "credsStore": "missing"}))
    environ = {
        "DOCKER_CONFIG": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    found = await credentials.header("r.example:5/x/y:1", environ)
    told = json.loads(base64.urlsafe_b64decode(found["X-Registry-Auth"]))
    assert told == {"username": "u-r.example:5", "password": "s", "serveraddress": "r.example:5"}
    assert await credentials.header("busybox", environ) == {}
    names = ["busybox", "a/b", "localhost/a", "h:1/a", "q.io/a/b"]
    assert [credentials.registry(n) for n in names] == ["docker.io", "docker.io", "localhost", "h:1", "q.io"]


@pytest.fixture(scope="module", autouse=True)
def names_removed() -> Iterator[None]:
    yield
    if shutil.which("docker") is None:
        return
    if found := docker(
        "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "longshore-stored/box*", check=False
    ).split():
        docker("rmi", *(name.decode() for name in found), check=False)


# --- images from storage ----------------------------------------------------------------------------------------------


def archive(*names: str) -> bytes:
    return docker("save", *names)


def identity() -> str:
    return docker("image", "inspect", "-f", "{{.Id}}", IMAGE).decode().strip()


def engine_over(environ: dict[str, str], root: Path, storage: Storage) -> DockerEngine:
    return DockerEngine(environ, str(root), transfer=Transfer(storage, Limits()), offers=Offers(network="none"))


@engine_needed
@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.zst"])
async def test_an_image_comes_from_a_file_in_storage_once_for_all(tmp_path, environ, ending) -> None:
    file = tmp_path / f"box 1.{ending}"
    data = archive(identity())
    packed = {"tar": bytes, "tar.gz": gzip.compress, "tar.zst": zstandard.compress}
    file.write_bytes(packed[ending](data))
    uri = f"file://{file}"
    yard = Yard(tmp_path, environ)
    storage = Storage({})
    (tmp_path / "images").mkdir()
    yard.engine = engine_over(environ, tmp_path, storage)
    await asyncio.gather(*(yard.engine.prepare(spec(uri)) for _ in range(5)))
    end = await yard.run("echo", "hello", container=uri)
    assert (end.exit_code, yard.said()) == (0, b"hello\n")
    assert end.image == identity() or end.image.startswith("localhost/longshore-test/busybox@sha256:")
    assert [p.name for p in (tmp_path / "images").iterdir()] == ["images.json"]
    await yard.engine.close()
    file.unlink()  # a later life of the agent needs it no more
    yard.engine = engine_over(environ, tmp_path, storage)
    await yard.engine.prepare(spec(uri))
    await yard.engine.prepare(spec(f"{uri}@{identity()}", pull="never"))
    await yard.engine.forget(A)
    await yard.engine.close()
    yard.engine = engine_over(environ, tmp_path, storage)
    assert (await yard.run("true", container=uri)).exit_code == 0  # an attempt that was prepared before a restart
    await yard.engine.forget(A)
    await yard.engine.close()


@engine_needed
async def test_a_pin_is_verified(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "box.tar").write_bytes(archive(identity()))
    engine = engine_over(environ, tmp_path, Storage({}))
    with pytest.raises(ContainerError, match=r"holds sha256:.*, not sha256:000") as caught:
        await engine.prepare(spec(f"file://{tmp_path}/box.tar@{STRANGE}"))
    assert caught.value.cause == "image"
    with pytest.raises(ContainerError, match="never to fetch"):
        await engine.prepare(spec(f"file://{tmp_path}/box.tar@{STRANGE}", pull="never"))
    await engine.close()


@engine_needed
async def test_what_is_no_image_is_an_error_with_the_engines_words(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "no.tar").write_bytes(b"this is no tar" * 100)
    engine = engine_over(environ, tmp_path, Storage({}))
    for image, words in ((f"file://{tmp_path}/no.tar", "docker save"), (f"file://{tmp_path}/gone.tar", "gone.tar")):
        with pytest.raises(ContainerError, match=words) as caught:
            await engine.prepare(spec(image))
        assert caught.value.cause == "image"
    await engine.close()


@engine_needed
async def test_an_image_comes_from_s3(tmp_path: Path, engine_image: str) -> None:  # noqa: F811
    served = tmp_path / "s3"
    (served / "bucket" / "images").mkdir(parents=True)
    (served / "bucket" / "images" / "box.tar").write_bytes(archive(identity()))
    server = Server("rclone", served).start()
    storage = Storage(server.environ)
    engine = engine_over(dict(os.environ), tmp_path, storage)
    try:
        await engine.prepare(spec(f"s3://bucket/images/box.tar@{identity()}"))
        assert engine.images.name(f"s3://bucket/images/box.tar@{identity()}") == identity()
        await engine.prepare(spec("s3://bucket/images/box.tar"))
        assert engine.images.name("s3://bucket/images/box.tar") == identity()
    finally:
        await engine.close()
        await storage.close()
        server.stop()


@pytest.mark.parametrize(
    "image", ["s3://b/", "s3://b/x.zip", "s3://b/x.tar|untar", "file://x.tar", "nowhere//x.tar://"]
)
def test_a_place_that_cannot_hold_an_image_is_refused_with_what_to_write(image: str) -> None:
    with pytest.raises(ContainerError) as caught:
        stored.reference(image)
    assert caught.value.cause == "image"


@engine_needed
async def test_the_image_that_ran_is_in_the_report_of_the_attempt(yard, engine_image) -> None:  # noqa: F811
    await yard.start_agent(docker=dict(os.environ))
    (yard.directory / "box.tar").write_bytes(archive(identity()))
    for image in (IMAGE, f"file://{yard.directory}/box.tar"):
        (name,) = await yard.assign("true", container=image)
        await until(lambda name=name: yard.ends(name), 60)
        end = yard.ends(name)[0]
        assert (end.outcome, end.image) == ("succeeded", identity())
