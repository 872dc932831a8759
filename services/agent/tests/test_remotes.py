"""From a box that only this worker opens to a task that fetches from, and publishes to, the server named in it."""

import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from longshore_common import events as e
from longshore_common.adapters import nats_keys
from longshore_common.testing.waiting import until
from longshore_data.sealing import seal

PASSWORD = "Pa55-of-the-test"
RCLONE = str(Path(sys.executable).parent / "rclone")


@pytest.fixture
async def sftp(tmp_path):
    """An sftp server over a folder, and the section of a configuration that reaches it."""
    root = tmp_path / "far"
    (root / "data").mkdir(parents=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "RCLONE_CONFIG": os.devnull, "RCLONE_USER": "u",
        "RCLONE_PASS": PASSWORD,
    }  # fmt: skip
    quiet = subprocess.DEVNULL
    command = [RCLONE, "serve", "sftp", "--addr", f"127.0.0.1:{port}", str(root)]
    server = subprocess.Popen(command, env=environ, stdin=quiet, stdout=quiet, stderr=quiet)
    done = subprocess.run([RCLONE, "obscure", "-"], input=PASSWORD, text=True, capture_output=True, check=True)

    def listening():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    await until(listening)
    yield (
        root,
        (
            f"[far]\ntype = sftp\nhost = 127.0.0.1\nport = {port}\nuser = u\npass = {done.stdout.strip()}\n"
            "shell_type = none\nknown_hosts_file = none\n"
        ),
    )
    server.kill()
    server.wait(10)


def schemes(yard):
    return yard.events(e.WorkerJoined)[-1].facts.schemes


async def test_what_was_shared_is_a_scheme_of_the_worker_and_stays_one_in_its_next_life(yard, sftp, key, tmp_path):
    root, config = sftp
    (root / "data/in put.txt").write_text("from afar")
    agent = await yard.start_agent()
    assert schemes(yard) == ()
    await yard.tell(e.RemotesGiven(box=seal(config, key)))
    await until(lambda: schemes(yard) == ("far",))
    command = ("sh", "-c", 'tr a-z A-Z <"$INPUT/in put.txt" >"$OUTPUT/o.txt"')
    (name,) = await yard.assign(*command, inputs=("far://data/in put.txt",), output="far://results/")
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered] or yard.ends(name))
    await yard.signal("publish", name)
    end = await yard.ended(name)
    assert end.outcome == "succeeded", end
    assert (root / "results/o.txt").read_text() == "FROM AFAR"
    assert sorted(os.listdir(root / "results/.longshore")) == [f"{name.rpartition('.')[0]}.json"]
    await yard.kill_agent(agent)
    await agent.transfers.stager.close()
    await yard.start_agent()
    assert schemes(yard) == ("far",)
    box = tmp_path / "w1/remotes.box"
    assert stat.S_IMODE(box.stat().st_mode) == 0o600
    for path in (tmp_path / "w1").rglob("*"):
        if path.is_file():
            assert b"type = sftp" not in path.read_bytes(), path
            assert PASSWORD.encode() not in path.read_bytes(), path
    said = json.dumps([str(r.event) for r in yard.hub.records])
    assert PASSWORD not in said
    assert "type = sftp" not in said


async def test_a_box_for_another_key_changes_nothing_and_is_told_with_the_fix(yard, sftp, key):
    await yard.start_agent()
    await yard.tell(e.RemotesGiven(box=seal(sftp[1], key)))
    await until(lambda: schemes(yard) == ("far",))
    stranger = nats_keys.public_key(nats_keys.make_seed("user"))
    await yard.tell(e.RemotesGiven(box=seal("[other]\ntype = memory\n", stranger)))
    await yard.tell(e.RemotesGiven(box=seal("no configuration", key)))
    (name,) = await yard.assign("true")
    assert (await yard.ended(name)).outcome == "succeeded"
    assert schemes(yard) == ("far",)


async def test_sharing_nothing_withdraws_what_was_shared_but_not_what_is_the_hosts_own(yard, key, tmp_path):
    (tmp_path / "own.conf").write_text("[own]\ntype = memory\n")
    await yard.start_agent(environ={"PATH": os.environ["PATH"], "RCLONE_CONFIG": str(tmp_path / "own.conf")})
    assert schemes(yard) == ("own",)
    await yard.tell(e.RemotesGiven(box=seal("[far]\ntype = memory\n", key)))
    await until(lambda: schemes(yard) == ("far", "own"))
    await yard.tell(e.RemotesGiven(box=seal("", key)))
    await until(lambda: schemes(yard) == ("own",))


async def test_a_scheme_that_the_worker_does_not_have_fails_the_attempt_with_those_it_has(yard, key):
    await yard.start_agent()
    await yard.tell(e.RemotesGiven(box=seal("[near]\ntype = memory\n", key)))
    await until(lambda: schemes(yard) == ("near",))
    (name,) = await yard.assign("true", inputs=("far://a/b",))
    end = await yard.ended(name)
    assert end.outcome == "failed"
    assert "near://" in end.reason
    assert "longshore remote share" in end.reason
