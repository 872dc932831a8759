"""Tasks of several steps as users meet them, on a real stack with Docker."""

import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator

import pytest

import longshore

from .stacks import Stack

pytestmark = [pytest.mark.slow, pytest.mark.engine]
IMAGE = "longshore-test/e2e-busybox:1"


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """An image of busybox and nothing else, made without a registry."""
    busybox = shutil.which("busybox")
    assert busybox, "install busybox-static"
    assert shutil.which("docker"), "install docker.io"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in ("bin", "tmp"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(made)
        tar.add(busybox, "bin/busybox")
        for name in ("sh", "cat", "wc", "sort", "sleep", "echo"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    words = ["docker", "import", "-c", 'ENV PATH="/bin"', "-", IMAGE]
    subprocess.run(words, input=packed.getvalue(), check=True, capture_output=True, timeout=60)
    yield IMAGE
    subprocess.run(["docker", "rmi", "-f", IMAGE], check=False, capture_output=True, timeout=60)


def test_a_json_line_of_steps_runs_and_tells_how_each_ended(stack: Stack, image, tmp_path_factory) -> None:
    place = tmp_path_factory.mktemp("steps")
    (place / "words").write_text("b\na\n")
    line = {
        "name": "count",
        "volumes": ["/job"],
        "mounts": [{"uri": f"file://{place}/words", "path": "/data/words"}],
        "steps": [
            {"container": image, "command": ["sort", "/data/words"], "stdout": "/job/sorted"},
            {"container": image, "command": ["sh", "-c", "cat; exit 3"], "stdin": "/job/sorted", "ignore_error": True},
            {"container": image, "command": ["wc", "-l"], "stdin": "/job/sorted", "stdout": "/out/lines"},
        ],
        "collects": [{"path": "/out/*", "uri": f"file://{place}/out/", "prefix": "/out"}],
    }  # fmt: skip
    task = stack.id("--wait", "--from-json", "-", stdin=json.dumps(line) + "\n")
    shown = json.loads(stack.ok("task", "show", task, "--json"))
    assert (shown["state"], shown["command"], shown["container"]) == ("succeeded", line["steps"][0]["command"], image)
    (attempt,) = shown["attempts"]
    assert [step["exit_code"] for step in attempt["steps"]] == [0, 3, 0]
    assert [step["stdout"] for step in attempt["steps"]] == [[0, 4], [4, 4], [8, 2]]
    assert (place / "out" / "lines").read_text() == "2\n"
    assert [(one["path"], one["size"]) for one in attempt["collected"]] == [("/out/lines", 2)]
    assert stack.ok("task", "logs", task) == "a\nb\na\nb\n2\n"
    assert "attempt 1 step 2 ended with exit code 3" in stack.ok("task", "show", task)
    assert "steps' exit codes 0, 3, 0" in stack.ok("history", task)


def test_the_sdk_takes_steps_and_a_failing_one_decides(stack: Stack, image) -> None:
    with longshore.Client(stack.root, environ=stack.environ) as client:
        steps = [{"container": image, "command": ["sh", "-c", "exit 5"]}, {"container": image, "command": ["echo"]}]
        sent = client.submit([], steps=steps)
        client.wait(sent, timeout=60, projected=True)
        task = client.task(f"{sent.id}.0")
        (attempt,) = client.attempts(task.id)
    assert (task.state, task.exit_code, task.reason) == ("failed", 5, "step 1 of 2: exit code 5")
    assert [step.exit_code for step in attempt.steps] == [5]


def test_what_cannot_be_is_refused_where_it_is_typed(stack: Stack, image) -> None:
    line = {"steps": [{"container": image, "command": ["true"]}], "volumes": ["/usr"]}
    said = stack.say("submit", "--from-json", "-", stdin=json.dumps(line) + "\n")
    assert said.code == 2
    assert "/usr holds programs" in said.err


def test_what_would_be_sent_can_be_looked_at(stack: Stack, image) -> None:
    line = {"steps": [{"container": image, "command": ["true"]}]}
    said = stack.ok("submit", "--test", "--from-json", "-", stdin=json.dumps(line) + "\n")
    assert '"steps"' in said
