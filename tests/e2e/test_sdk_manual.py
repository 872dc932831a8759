"""Every example of the SDK's manual runs as it is printed there, on a real stack."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.agent.tests.engine import IMAGE, make_image, start_engine

from .stacks import Stack

MANUAL = Path(__file__).parents[2] / "docs/manual/sdk.md"
EXAMPLES = re.findall(r"^```python( container)?\n(.*?)^```", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
PLAIN = [text for container, text in EXAMPLES if not container]
CONTAINER = [text for container, text in EXAMPLES if container]


def ran(stack: Stack, text: str, where: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", text],
        env=stack.environ,
        cwd=where,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_are_typed_and_so_is_all_they_use(tmp_path: Path) -> None:
    for number, (_, text) in enumerate(EXAMPLES):
        (tmp_path / f"example_{number}.py").write_text(f"IMAGE = STORE = ''\n{text}")
    (tmp_path / "wrong.py").write_text('import longshore\nlongshore.Client().submit(["x"], memry="1G").id + ""\n')
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}/cache", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    wrong = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line.split(" ")[0] for line in wrong] == ["wrong.py:2:"] * len(wrong), done.stdout
    assert "memry" in done.stdout


@pytest.mark.slow
def test_each_example_runs_as_it_is_printed(stack: Stack, tmp_path: Path) -> None:
    said = [ran(stack, text, tmp_path) for text in PLAIN]
    assert len(said) >= 9
    assert said[0].splitlines()[-1] == "100 of 100"
    assert said[1] == "hello\n"
    assert said[2] == "{'succeeded': 9, 'failed': 1}\n"
    assert sorted(said[4].splitlines()) == [f"{k} succeeded" for k in range(5)]
    assert said[5] == "20 succeeded\n"
    assert "'lots' is no size" in said[-1]


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    process = start_engine(tmp_path_factory.mktemp("engine"))
    make_image()
    yield
    if process is not None:
        process.terminate()
        process.wait(20)


@pytest.mark.slow
@pytest.mark.engine
def test_directories_go_there_and_back(stack: Stack, engine: None, tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"cases/c{k}").mkdir(parents=True)
        (tmp_path / f"cases/c{k}/in").write_text("x" * k)
    (text,) = CONTAINER
    said = ran(stack, f"IMAGE, STORE = {IMAGE!r}, 'file://{tmp_path}/store/'\n{text}", tmp_path)
    assert sorted(line.rsplit(" ", 1)[1] for line in said.splitlines()) == ["1"] * 3
    assert [(tmp_path / f"cases/c{k}/out").read_text().strip() for k in range(3)] == ["0", "1", "2"]
