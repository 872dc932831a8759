"""`longshore-agent debug`: a task by hand, as a process on a real disk and, where marked, in a real container."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from longshore_agent.service.debugging import Case
from longshore_common.model import Mount, Step, TaskSpec

from .engine import IMAGE, engine_image  # noqa: F401

AGENT = str(Path(sys.executable).parent / "longshore-agent")
BUSY = {"LONGSHORE_INDEX": "7", "LONGSHORE_ENTRY": "e 1", "LONGSHORE_TASK": "5.0", "LONGSHORE_BATCH": "b"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in.txt").write_text("data")
    return tmp_path


def debug(folder, spec, *words, code=0, stdin="", attempt=None):
    case = Case(task="5.0", label=7, entry="e 1", batch="b", user="u", spec=spec, attempt=attempt)
    (folder / "case.json").write_bytes(msgspec.json.encode(case))
    environ = {
        **os.environ,
        "LONGSHORE_WORKER_DIR": str(folder / "worker"),
        "LONGSHORE_STATE_DIR": str(folder / "none"),
    }
    done = subprocess.run(
        [AGENT, "debug", str(folder / "case.json"), *words], cwd=folder, env={**environ, "SHELL": "/bin/sh"},
        capture_output=True, text=True, timeout=60, input=stdin,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_task_runs_with_its_inputs_and_environment_and_leaves_its_output(folder):
    script = 'cat "$INPUT/in.txt"; env; pwd; cp "$RESOURCE/in.txt" "$OUTPUT/made"; exit 3'
    uri = f"file://{folder}/in.txt"
    spec = TaskSpec(command=(script,), shell=True, inputs=(uri,), resources=(uri,), env={"MINE": "x y"})
    said = debug(folder, spec, "--directory", "here", code=3)
    environ = dict(line.split("=", 1) for line in said.stdout.splitlines() if "=" in line)
    assert said.stdout.startswith("data")
    assert environ.items() >= {**BUSY, "MINE": "x y", "OUTPUT": f"{folder}/here/output"}.items()
    assert (folder / "here/output/made").read_text() == "data"
    assert "exit code 3; what it left is in" in said.stderr


def test_placeholders_stand_for_what_the_api_said(folder):
    (folder / "e 1").write_text("entry")
    spec = TaskSpec(command=("cat", "input/../input/x"), inputs=(f"file://{folder}/{{entry}}|rename:x",))
    said = debug(folder, spec, "--", "sh", "-c", 'cat "$INPUT/x"')
    assert said.stdout == "entry"


def test_a_shell_opens_instead_of_the_command(folder):
    said = debug(folder, TaskSpec(command=("false",)), "--shell", stdin="echo in $LONGSHORE_TASK\n")
    assert said.stdout == "in 5.0\n"


def test_kept_opens_a_shell_where_the_last_failed_attempt_worked(folder):
    for n in (2, 10):
        for name in ("input", "output", "temp", "resource"):
            (folder / f"worker/kept/5.0.{n}/{name}").mkdir(parents=True)
        (folder / f"worker/kept/5.0.{n}/output/left").write_text(f"attempt {n}")
    said = debug(
        folder, TaskSpec(command=("false",), inputs=("s3://never/asked",)), "--kept", stdin="cat $OUTPUT/left\n"
    )
    assert said.stdout == "attempt 10"


@pytest.mark.parametrize(
    ("spec", "words", "said"),
    [
        (TaskSpec(command=("x",)), ["--kept"], "leave out --kept"),
        (TaskSpec(command=("no-such-program",)), [], "cannot start 'no-such-program'"),
        (TaskSpec(command=("x",), inputs=("file:///nowhere",)), [], "a retry cannot help"),
    ],
)
def test_what_cannot_be_done_names_the_fix(folder, spec, words, said):
    assert said in debug(folder, spec, *words, code=1).stderr


def test_a_directory_with_something_in_it_is_not_used(folder):
    assert "name a new directory" in debug(folder, TaskSpec(command=("x",)), "--directory", ".", code=2).stderr


@pytest.mark.engine
def test_a_container_sees_what_it_would_see_as_a_task(folder, engine_image):  # noqa: F811
    script = "cat /input/in.txt; env; cat > /output/o < /resource/in.txt; exit 4"
    uri = f"file://{folder}/in.txt"
    spec = TaskSpec(
        command=("sh", "-c", script), container=IMAGE, inputs=(uri,), resources=(uri,), env={"MINE": "x\ny"}
    )
    said = debug(folder, spec, "--directory", "with space", code=4)
    assert said.stdout.startswith("data")
    assert all(f"{key}={value}\n" in said.stdout for key, value in {**BUSY, "MINE": "x\ny"}.items())
    assert (folder / "with space/output/o").read_text() == "data"
    left = ["docker", "ps", "-aq", "--filter", f"volume={folder}"]
    assert subprocess.check_output(left, timeout=30) == b""


@pytest.mark.engine
@pytest.mark.usefixtures("engine_image")
def test_steps_run_one_after_the_other_with_what_they_share(folder):
    mounts = (Mount(uri=f"file://{folder}/in.txt", path="/data/in"),)
    steps = (
        Step(command=("sh", "-c", "cat /data/in; echo; echo $A"), container=IMAGE, stdout="/job/one", env={"A": "x"}),
        Step(command=("sh", "-c", "exit 4"), container=IMAGE, ignore_error=True),
        Step(command=("sh", "-c", "cat; pwd; exit 3"), container=IMAGE, stdin="/job/one", workdir="/job"),
        Step(command=("echo", "never"), container=IMAGE),
    )
    spec = TaskSpec(command=steps[0].command, container=IMAGE, steps=steps, mounts=mounts, volumes=("/job",))
    said = debug(folder, spec, "--directory", "here", code=3)
    assert said.stdout == "data\nx\ndata\nx\n/job\n"
    assert "step 3 of 4" in said.stderr
    assert "exit code 4, which it ignores" in said.stderr
    assert (folder / "here/tree/job/one").read_text() == "data\nx\n"
    shell = debug(folder, spec, "--directory", "there", "--", "sh", "-c", "cat /data/in; ls /job")
    assert shell.stdout == "data"


def test_steps_without_containers_are_given_as_words(folder):
    spec = TaskSpec(command=("true",), steps=(Step(command=("true",), container=""),))
    assert "as words after --" in debug(folder, spec, code=1).stderr
    assert debug(folder, spec, "--", "echo", "one").stdout == "one\n"
