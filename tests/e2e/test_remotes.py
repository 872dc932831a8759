"""A remote of the user's computer becomes a scheme of a worker, and nobody on the way can read it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .stacks import place_for

pytestmark = pytest.mark.slow

TOOLS = Path(sys.executable).parent
PASSWORD = "Pa55-of-the-test"
QUIET = subprocess.DEVNULL


@pytest.fixture(scope="module")
def root():
    with place_for("remotes") as made:
        yield made


@pytest.fixture(scope="module")
def obscured():
    words = [TOOLS / "rclone", "obscure", "-"]
    return subprocess.run(words, input=PASSWORD, text=True, capture_output=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def config(root, obscured):
    """The user's rclone.conf, which leads to an sftp server over `root`/far."""
    (root / "far").mkdir()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(root), "RCLONE_CONFIG": os.devnull, "RCLONE_USER": "u",
        "RCLONE_PASS": PASSWORD,
    }  # fmt: skip
    command = [TOOLS / "rclone", "serve", "sftp", "--addr", f"127.0.0.1:{port}", root / "far"]
    server = subprocess.Popen(command, env=environ, stdin=QUIET, stdout=QUIET, stderr=QUIET)
    place = root / "user.conf"
    place.write_text(
        f"[far]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nuser = u\npass = {obscured}\nshell_type = none\n"
        "known_hosts_file = none\n\n[unused]\ntype = memory\n"
    )
    yield place
    server.kill()
    server.wait(10)


@pytest.fixture(scope="module")
def longshore(root):
    """A command line on a stack of its own."""

    def say(*words, within=60, ok=True):
        environ = {k: v for k, v in os.environ.items() if k != "RCLONE_CONFIG"}
        environ |= {"LONGSHORE_STATE_DIR": str(root / "stack"), "HOME": str(root)}
        done = subprocess.run(
            [TOOLS / "longshore", *words], env=environ, capture_output=True, text=True, timeout=within
        )
        assert done.returncode == 0 or not ok, done
        return done

    say("up", "--detach", "--workers", "1", "--concurrency", "1", within=120)
    yield say
    say("down", within=120, ok=False)


def test_from_remote_share_to_a_task_that_fetches_and_publishes_and_back(longshore, config, root, obscured):
    (root / "far/in put.txt").write_text("from afar")
    shared = longshore("remote", "share", "--config", str(config), "--only", "far")
    assert shared.stdout == "local-1\tfar\n", shared
    (offered,) = map(json.loads, longshore("remote", "list", "--json").stdout.splitlines())
    assert offered == {"worker": "local-1", "state": "up", "schemes": ["far"]}
    command = ("sh", "-c", 'tr a-z A-Z <"$INPUT/in put.txt" >"$OUTPUT/o.txt"')
    longshore("submit", "--wait", "--input", "far://in put.txt", "--output", "far://results/", "--", *command)
    assert (root / "far/results/o.txt").read_text() == "FROM AFAR"
    assert [p.suffix for p in (root / "far/results/.longshore").iterdir()] == [".json"]
    secrets = [PASSWORD.encode(), obscured.encode()]
    for path in (root / "stack").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert not any(s in path.read_bytes() for s in secrets), path
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        assert not any(s in line for s in secrets), line
    assert longshore("remote", "withdraw").stdout == "local-1\n"
    end = time.monotonic() + 20
    while json.loads(longshore("remote", "list", "--json").stdout)["schemes"]:
        assert time.monotonic() < end
    refused = longshore("submit", "--wait", "--retry", "0", "--input", "far://in put.txt", "--", "true", ok=False)
    assert refused.returncode == 1, refused


def test_the_users_remotes_are_shown_without_their_values_and_misuse_names_the_fix(longshore, config, obscured):
    shown = longshore("remote", "show", "--config", str(config))
    assert shown.stdout == "far\tsftp\trclone\nunused\tmemory\trclone\n"
    assert obscured not in shown.stdout + shown.stderr
    unknown = longshore("remote", "share", "--config", str(config), "--worker", "nobody", ok=False)
    assert unknown.returncode == 2
    assert "local-1" in unknown.stderr
    none = longshore("remote", "share", ok=False)
    assert none.returncode == 2
    assert "rclone config" in none.stderr
