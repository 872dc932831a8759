"""The command as a process: cheap to start, clear when it refuses, data on stdout and talk on stderr."""

import json
import os
import subprocess
import sys
import time

import pytest

from longshore_common.adapters import nats_keys
from longshore_common.profile import Profile

HEAVY = {
    "nats", "rich", "pydantic", "http.client", "asyncio", "typer", "click", "structlog", "ssl", "msgspec", "email",
    "longshore_data", "wcmatch", "aiohttp", "botocore", "zstandard", "isal", "nacl",
}  # fmt: skip
READ = {"msgspec", "typer", "click"}


def imports_of(*line, profile="/nonexistent"):
    code = (
        "import sys, contextlib\n"
        f"sys.argv = ['longshore', *{list(line)!r}]\n"
        "from longshore.cli.main import run\n"
        "with contextlib.suppress(SystemExit): run()\n"
        "print('\\n', *sys.modules, file=sys.stderr)"
    )
    env = {**os.environ, "LONGSHORE_STATE_DIR": str(profile)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=env)
    return set(done.stderr.splitlines()[-1].split())


def longshore(*line, env=None, stdin=b"", state=None):
    command = [sys.executable, "-c", "import sys; from longshore.cli.main import run; sys.exit(run())", *line]
    surroundings = {**os.environ, "LONGSHORE_STATE_DIR": str(state or "/nonexistent/stack"), **(env or {})}
    done = subprocess.run(command, capture_output=True, timeout=60, env=surroundings, input=stdin)
    return done.returncode, done.stdout, done.stderr.decode()


def event(*line, stdin=b""):
    code, out, err = longshore("submit", "--test", *line, stdin=stdin)
    assert code == 0, err
    return [json.loads(text) for text in out.splitlines()]


def test_the_version_costs_next_to_nothing():
    assert not imports_of("--version") & HEAVY


@pytest.mark.slow
def test_each_command_imports_only_what_it_needs(profile_dir):
    door = profile_dir
    assert not imports_of("submit", "--test", "true") & (HEAVY - READ)
    assert not imports_of("submit", "true", profile=door) & (HEAVY - READ)
    assert not imports_of("worker", "pause", "--all", profile=door) & {
        "nats",
        "rich",
        "pydantic",
        "asyncio",
        "structlog",
    }
    assert not imports_of("task", "list") & {"nats", "rich", "pydantic", "asyncio", "structlog"}
    assert not imports_of("--help") & {"nats", "rich", "pydantic", "asyncio", "http.client", "structlog"}


def test_the_version_is_the_packages():
    from importlib.metadata import version

    import longshore as package

    assert package.__version__ == version("longshore")


def test_a_command_line_becomes_one_event():
    (one,) = event(
        "-b", "squares", "-n", "sq", "-d", "busybox:1", "-O", "--network=host", "-i", "s3://x/a s3://x/b", "-r", "s3://x/r",
        "-o", "s3://x/out/", "-R", "12.0-9,13.1", "--requires-any-outcome", "--retry", "2", "--uid", "0", "--gid", "7",
        "--env", "A=b c", "--cpus", "2", "--memory", "4G", "--gpus", "1", "--disk", "1T", "--priority", "-5",
        "--checkpoint", "state/", "--stop-signal", "int", "--grace", "0", "--pull", "never",
        "--run-timeout", "1h30m", "--hold", "--array", "1-9:2%3", "--key", "k", "--", "printf", "%s", "--", "$HOME",
    )  # fmt: skip
    assert one == {
        "type": "tasks-submitted", "key": "k", "batch": "squares", "priority": -5, "requires": [[12, 0, 9], [13, 1, 1]],
        "requires_any_outcome": True, "max_running": 3, "held": True,
        "body": {
            "type": "array", "size": 5, "start": 1, "step": 2,
            "spec": {
                "command": ["printf", "%s", "--", "$HOME"], "name": "sq", "container": "busybox:1", "uid": 0, "gid": 7,
                "container_options": ["--network=host"], "inputs": ["s3://x/a", "s3://x/b"], "resources": ["s3://x/r"],
                "output": "s3://x/out/", "env": {"A": "b c"}, "cpus": 2.0, "memory": 4 << 30, "gpus": 1, "disk": 1 << 40,
                "retries": 2, "run_timeout": 5400.0, "checkpoint": "state/", "stop_signal": "SIGINT", "grace": 0.0,
                "pull": "never",
            },
        },
    }  # fmt: skip


def test_each_line_of_standard_input_is_a_task():
    (one,) = event("--each-line", "-", "wc", "{entry}", stdin="a\nb c\né\n".encode())
    assert one["body"]["entries"] == ["a", "b c", "é"]
    assert one["body"]["size"] == 3


def test_each_path_of_a_pattern_is_a_task(tmp_path):
    for name in ("b.txt", "a b.txt", "c.bin"):
        (tmp_path / name).touch()
    (one,) = event("--each", f"{tmp_path}/*.txt", "wc")
    assert one["body"]["entries"] == [f"{tmp_path}/a b.txt", f"{tmp_path}/b.txt"]


def test_each_json_object_is_a_task_and_options_are_defaults():
    (part, close) = event(
        "-b", "x", "--cpus", "2", "--from-json", "-", stdin=b'{"command":["a"]}\n{"command":"b","cpus":1}\n'
    )
    assert [spec["cpus"] for spec in part["specs"]] == [2.0, 1.0]
    assert close["body"] == {"type": "parts", "parts": 1, "size": 2}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["submit"], "no command"), (["submit", "--nope", "x"], "--help"), (["nope"], "nope"), (["task", "nope"], "list"),
        (["submit", "--secret", "a b", "y"], "can name no secret"), (["submit", "--use-cache", "y"], "--use-cache"),
        (["submit", "--array", "9-1", "y"], "9-1"), (["submit", "--memory", "lots", "y"], "lots"),
        (["submit", "-o", "a", "-o", "b", "y"], "once"), (["submit", "-b", "Not A Batch", "y"], "Not A Batch"),
        (["submit", "--array", "0-3", "--each", "*", "y"], "one of"), (["submit", "--each-line", "/nowhere", "y"], "/nowhere"),
        (["submit", "--each", "/nowhere/*", "y"], "nothing matches"), (["submit", "--from-json", "/nowhere"], "/nowhere"),
        (["submit", "--each", "s3://b/*", "y"], "--each-line"), (["worker", "pause"], "--all"),
        (["worker", "resize", "w"], "--prefetch"),
        (["task", "list", "--state", "asleep"], "succeeded"), (["task", "signal", "SIGNOPE", "1.1"], "SIGUSR1"),
        (["task", "logs", "--stdout", "--stderr", "1.1"], "streams"), (["completion", "tcsh"], "bash"),
        (["submit", "--checkpoint", "s", "y"], "--output"), (["submit", "--pull", "often", "y"], "missing, always, never"),
        (["submit", "--stop-signal", "SIGNOPE", "y"], "SIGNOPE"), (["submit", "-i", "s3://b/k|untarr", "y"], "untarr"),
        (["submit", "-o", "https://h/x", "y"], "only be read"), (["worker", "clean"], "--all"),
        (["worker", "drain", "w", "--all"], "--all"), (["batch", "retention", "b", "--logs", "long"], "duration"),
        (["submit", "--key", "a b", "y"], "without spaces"), (["submit", "--key", "", "y"], "not usable"),
    ],
)  # fmt: skip
def test_misuse_is_one_line_that_names_the_fix_and_exit_2(line, said, tmp_path, profile_dir):
    code, out, err = longshore(*line, state=profile_dir)
    assert (code, out) == (2, b""), err
    assert err.startswith("longshore: ")
    assert err.count("\n") == 1
    assert said in err


@pytest.fixture
def profile_dir(tmp_path):
    import msgspec

    door = Profile(
        user="ada", nats_url="nats://127.0.0.1:9", nats_creds=str(tmp_path / "creds"), api_url="http://127.0.0.1:9",
        api_token_file=str(tmp_path / "token"),
    )  # fmt: skip
    (tmp_path / "token").write_text("t")
    (tmp_path / "creds").write_text(nats_keys.creds_text("claim", nats_keys.make_seed("user")))
    (tmp_path / "client.json").write_bytes(msgspec.json.encode(door))
    return tmp_path


@pytest.mark.slow
def test_without_a_stack_the_exit_code_is_3_and_up_is_named(profile_dir):
    for line in (
        ["submit", "true"],
        ["submit", "--wait", "true"],
        ["task", "list"],
        ["explain", "1.0"],
        ["worker", "pause", "--all"],
    ):
        for state in (None, profile_dir):
            began = time.monotonic()
            code, out, err = longshore(*line, state=state)
            assert (code, out) == (3, b""), err
            assert "longshore up" in err
            assert time.monotonic() - began < 8, "it gives up after about 2 s; the rest is for a busy host"


def test_arguments_that_are_not_utf8_are_refused():
    code, out, err = longshore("submit", "--test", "echo", b"\xff\xfe")
    assert (code, out) == (2, b"")
    assert "not UTF-8" in err


def test_a_ten_megabyte_command_is_refused_with_the_limit():
    line = json.dumps({"command": ["echo", "x" * 10_000_000]}).encode()
    code, out, err = longshore("submit", "--test", "--from-json", "-", stdin=line)
    assert (code, out) == (2, b"")
    assert "131,071" in err


def test_utf8_arguments_are_kept_whatever_the_locale():
    code, out, _ = longshore(
        "submit", "--test", "echo", "é漢", env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    )
    assert code == 0
    assert json.loads(out)["body"]["spec"]["command"] == ["echo", "é漢"]


def test_lists_are_json_lines_and_a_reader_that_stops_is_no_error(api, profile_dir, profile):
    import msgspec

    (profile_dir / "client.json").write_bytes(msgspec.json.encode(profile))
    items = [{"id": f"1.{k}", "state": "queued", "command": ["a b", "c"]} for k in range(51)]
    api.routes["/tasks"] = lambda query: {"items": items[: int(query["limit"])], "next": None, "position": 1}
    code, out, err = longshore("task", "list", "--json", state=profile_dir)
    assert (code, len(out.splitlines())) == (0, 50)
    assert json.loads(out.splitlines()[0]) == items[0]
    assert err == ""
    code, out, err = longshore("task", "list", "--limit", "1", state=profile_dir)
    assert "--all" in err
    assert out == b"1.0\tqueued\t-\t-\t-\t-\t-\t-\t'a b' c\n"
    api.routes["/tasks"] = lambda query: {"items": [{"id": "x" * 100_000}] * 30, "next": None, "position": 1}
    program = f"{sys.executable} -c 'from longshore.cli.main import run; raise SystemExit(run())'"
    script = f"{program} task list --json --all | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script], capture_output=True, timeout=60,
        env={**os.environ, "LONGSHORE_STATE_DIR": str(profile_dir)},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{", b"")


def test_completion_knows_words_options_and_live_names(api, profile_dir, profile):
    import msgspec

    (profile_dir / "client.json").write_bytes(msgspec.json.encode(profile))
    api.routes["/batches"] = lambda _query: {"items": [{"name": "count"}, {"name": "gather"}], "next": None}
    assert longshore("completion", "words", "su")[1] == b"submit\n"
    assert longshore("completion", "words", "task", "l")[1] == b"list\nlogs\n"
    assert longshore("completion", "words", "submit", "--arr")[1] == b"--array\n"
    assert longshore("completion", "words", "batch", "show", "g", state=profile_dir)[1] == b"gather\n"
    assert b"complete" in longshore("completion", "bash")[1]
