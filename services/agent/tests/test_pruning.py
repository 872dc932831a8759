"""Images that the agent brought go when no attempt uses them; those of others stay."""

import io
import os
import subprocess
import tarfile

import pytest

from longshore_agent.adapters.containers import DockerEngine
from longshore_agent.adapters.containers.images import here
from longshore_agent.adapters.containers.pruning import Brought
from longshore_common import events as e
from longshore_common.testing.waiting import until

from .engine import engine_image  # noqa: F401  a fixture

pytestmark = pytest.mark.engine


@pytest.fixture
def images(engine_image, tmp_path):  # noqa: F811
    """Makes images of this name and this many bytes; what is left of them is removed."""
    made = []

    def make(name, size=3 << 20):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            entry = tarfile.TarInfo(f"file-of-{name}")
            entry.size = size
            tar.addfile(entry, io.BytesIO(os.urandom(size)))
        full = f"longshore-test/{tmp_path.name}-{name}:1".lower()
        subprocess.run(
            ["docker", "import", "-", full], input=buffer.getvalue(), check=True, capture_output=True, timeout=60
        )
        made.append(full)
        return full

    yield make
    subprocess.run(["docker", "rmi", "-f", *made], check=False, capture_output=True, timeout=60)


async def test_only_what_we_brought_and_nobody_uses_goes(images, tmp_path):
    ours, kept, used, foreign = (images(name) for name in ("ours", "kept", "used", "foreign"))
    brought = Brought(f"{tmp_path}/images")
    for name in (ours, kept, used):
        brought.note(name)
    container = f"longshore-test-{os.getpid()}"
    subprocess.run(["docker", "create", "--name", container, used, "x"], check=True, capture_output=True, timeout=60)
    engine = DockerEngine(os.environ, str(tmp_path))
    try:
        text, freed = await engine.prune([kept])
        docker, _ = await engine.connection.open()
        assert text == f"removed 1 image: {ours}"
        assert freed >= 3 << 20
        assert [bool(await here(docker, name)) for name in (ours, kept, used, foreign)] == [False, True, True, True]
        assert brought.names() == {kept, used}
        assert (await engine.prune([kept]))[0] == "no image could go"
    finally:
        subprocess.run(["docker", "rm", container], check=True, capture_output=True, timeout=60)
        await engine.close()


async def test_an_ordered_prune_spares_the_images_of_held_attempts(images, yard):
    wanted, other = images("wanted"), images("other")
    agent = await yard.start_agent(slots=1, docker=dict(os.environ))
    brought = Brought(f"{yard.directory}/images")
    brought.note(wanted)
    brought.note(other)
    (running,) = await yard.assign("sleep", "600")
    await yard.running(running)
    await yard.assign("x", container=wanted)
    await until(lambda: len(agent.desk.attempts.held) == 2)
    await yard.tell(e.WorkerCareOrdered(care="prune-images", request=5))
    (answer,) = await until(lambda: yard.events(e.WorkerCared))
    assert (answer.text, answer.request) == (f"removed 1 image: {other}", 5)
    assert answer.freed >= 3 << 20


async def test_without_an_engine_a_prune_is_answered_with_the_reason(yard):
    await yard.start_agent()
    await yard.tell(e.WorkerCareOrdered(care="prune-images"))
    (answer,) = await until(lambda: yard.events(e.WorkerCared))
    assert answer.text.startswith("prune-images failed: ")
