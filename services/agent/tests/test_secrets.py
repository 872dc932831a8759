"""Secrets on a worker: sealed on its disk, opened for the start of tasks of their owner, and nowhere else to be seen."""

import json
import os
import stat
from pathlib import Path

import pytest

from longshore_agent.adapters.opened import INSIDE, START, Opened, script
from longshore_common import confidential
from longshore_common import events as e
from longshore_common.adapters import nats_keys
from longshore_common.model import Step
from longshore_common.testing.waiting import until
from longshore_data.sealing import seal

from .engine import IMAGE, engine_image, podman  # noqa: F401
from .storage import Server

VALUE = "geheim'; $(touch /tmp/x) \"ü\nzweite Zeile\\ "


def box(key, value=VALUE, *, owner="u", name="TOKEN", **more):
    values = value if isinstance(value, dict) else {name: value}
    return seal(confidential.text(confidential.Sheet(owner=owner, name=name, values=values, **more)), key)


def gives(sealed, *, owner="u", name="TOKEN"):
    return e.SecretGiven(owner=owner, name=name, box=sealed, request=1)


def held(yard):
    return yard.events(e.WorkerJoined)[-1].facts.secrets


async def told(yard, *events, until_held):
    for event in events:
        await yard.tell(event)
    await until(lambda: held(yard) == until_held)


PRINT = ("sh", "-c", 'printf %s "$TOKEN" >"$OUTPUT/o"; printf %s "$TOKEN"')


async def test_a_task_finds_the_secret_of_its_owner_as_a_variable_to_the_byte(yard, key):
    await yard.start_agent()
    await told(yard, gives(box(key)), until_held=("u/TOKEN",))
    (name,) = await yard.assign(*PRINT, secrets=("TOKEN",))
    end = await yard.ended(name)
    assert end.outcome == "succeeded", end
    assert end.stdout.tail == VALUE
    (other,) = await yard.assign("sh", "-c", "env", secrets=())
    assert "TOKEN" not in (await yard.ended(other)).stdout.tail


async def test_it_is_held_over_lives_and_sealed_wherever_the_agent_writes(yard, key, tmp_path):
    agent = await yard.start_agent()
    await told(yard, gives(box(key)), until_held=("u/TOKEN",))
    (name,) = await yard.assign("sleep", "0.2", secrets=("TOKEN",))
    await yard.ended(name)
    await yard.kill_agent(agent)
    await agent.transfers.stager.close()
    await yard.start_agent()
    assert held(yard) == ("u/TOKEN",)
    folder = tmp_path / "w1/secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]
    words = VALUE.encode(), json.dumps(VALUE)[1:-1].encode()
    for path in (tmp_path / "w1").rglob("*"):
        if path.is_file():
            assert not any(word in path.read_bytes() for word in words), path
    said = json.dumps([str(r.event) for r in yard.hub.records])
    assert "geheim" not in said


async def test_it_is_in_no_command_line_of_any_process(yard, key):
    await yard.start_agent()
    await told(yard, gives(box(key, "Wort-das-niemand-sieht")), until_held=("u/TOKEN",))
    (name,) = await yard.assign("sleep", "20", secrets=("TOKEN",))
    await yard.running(name)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            assert b"Wort-das-niemand" not in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
    await yard.signal("kill", name)
    await yard.ended(name)


async def test_a_box_that_was_sealed_for_another_worker_owner_or_name_changes_nothing(yard, key):
    await yard.start_agent()
    await told(yard, gives(box(key)), until_held=("u/TOKEN",))
    stranger = nats_keys.public_key(nats_keys.make_seed("user"))
    await yard.tell(gives(box(stranger, "x")))
    await yard.tell(gives(box(key, "x", owner="ada"), owner="u"))  # sent again by another user as one of theirs
    await yard.tell(gives(box(key, "x", name="OTHER"), name="TOKEN"))
    await yard.tell(gives(seal("no secret", key)))
    (name,) = await yard.assign(*PRINT, secrets=("TOKEN",))
    assert (await yard.ended(name)).stdout.tail == VALUE
    assert held(yard) == ("u/TOKEN",)


async def test_a_secret_that_is_not_here_or_another_users_fails_the_attempt_with_the_fix(yard, key):
    await yard.start_agent()
    await told(yard, gives(box(key, owner="ada"), owner="ada"), until_held=("ada/TOKEN",))
    (name,) = await yard.assign("true", secrets=("TOKEN",))  # of user u
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.definite) == ("failed", "launch", False)
    assert "longshore secret share TOKEN" in end.reason


async def test_a_secret_that_has_expired_fails_the_attempt_and_no_retry_would_help(yard, key):
    await yard.start_agent()
    await told(yard, gives(box(key, expires=1000.0)), until_held=("u/TOKEN",))
    (name,) = await yard.assign("true", secrets=("TOKEN",))
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.definite) == ("failed", "launch", True)
    assert "expired" in end.reason


async def test_a_new_value_replaces_the_old_and_a_forgotten_one_is_gone(yard, key, tmp_path):
    await yard.start_agent()
    await told(yard, gives(box(key, "old")), until_held=("u/TOKEN",))
    await yard.tell(gives(box(key, "new")))
    (name,) = await yard.assign(*PRINT, secrets=("TOKEN",))
    assert (await yard.ended(name)).stdout.tail == "new"
    await told(yard, gives(""), until_held=())
    assert list((tmp_path / "w1/secrets").iterdir()) == []


async def test_one_secret_may_be_several_variables(yard, key):
    await yard.start_agent()
    await told(yard, gives(box(key, {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})), until_held=("u/TOKEN",))
    (name,) = await yard.assign("sh", "-c", 'echo "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY"', secrets=("TOKEN",))
    assert (await yard.ended(name)).stdout.tail == "a b\n"


def test_opened_secrets_are_files_that_nobody_outside_can_reach(tmp_path):
    worker, memory = tmp_path / "w1", tmp_path / "shm"
    worker.mkdir()
    memory.mkdir()
    opened = Opened(worker, memory)
    folder = Path(opened.put("1.0.1", {"TOKEN": VALUE}))
    assert (folder / "TOKEN").read_text() == VALUE
    assert folder.is_relative_to(memory) or os.path.exists("/.dockerenv")
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    opened.put("1.0.2", {"TOKEN": "x"})
    opened.remove("1.0.1")
    assert not folder.exists()
    opened.reset(())
    assert list(folder.parent.iterdir()) == []


def test_a_place_in_memory_that_another_made_is_not_used(tmp_path):
    worker, memory = tmp_path / "w1", tmp_path / "shm"
    worker.mkdir()
    memory.mkdir()
    opened = Opened(worker, memory)
    place = Path(opened.put("1.0.1", {"TOKEN": "x"})).parent
    place.chmod(0o755)
    assert Path(opened.put("1.0.2", {"TOKEN": "x"})).is_relative_to(worker)


def test_the_script_gives_values_to_the_byte_and_becomes_the_command(tmp_path):
    import subprocess

    file = tmp_path / START
    file.write_text(script({"TOKEN": VALUE, "OTHER": ""}))
    said = subprocess.run(["sh", file, "sh", "-c", 'printf "%s|%s|%s" "$TOKEN" "$OTHER" "$1"', "sh", "a b"],
                          capture_output=True, check=True)  # fmt: skip
    assert said.stdout.decode() == f"{VALUE}||a b"
    assert INSIDE == "/run/secrets"


# --- containers ---------------------------------------------------------------------------------------------------------

ENGINE = pytest.mark.engine


async def contained(yard, key, *sealed):
    await yard.start_agent(docker=dict(os.environ))
    for event in sealed or (gives(box(key)),):
        await yard.tell(event)
    await until(lambda: held(yard))


def described(*words):
    import subprocess

    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True).stdout


@ENGINE
async def test_a_container_finds_it_too_and_the_engine_shows_it_to_nobody(yard, key, engine_image):  # noqa: F811
    await contained(yard, key)
    script = 'printf %s "$TOKEN"; cat /run/secrets/TOKEN >&2; while [ ! -e /output/go ]; do sleep 0.05; done'
    (name,) = await yard.assign("sh", "-c", script, container=IMAGE, secrets=("TOKEN",))
    await until(lambda: "running" in yard.moves(name), 60)
    agent = yard.agents[0]
    place = agent.desk.place(agent.desk.attempts.held[name])
    await until(lambda: os.path.exists(place.stdout) and os.path.getsize(place.stdout), 60)
    (ours,) = [c for c in described("ps", "-q", "--filter", f"label=longshore.attempt={name}").split()]
    shown = described("inspect", ours)
    assert "geheim" not in shown
    assert "/run/secrets" in shown
    assert "geheim" not in described("top", ours)
    Path(f"{place.places.output}/go").touch()
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout.tail, end.stderr.tail) == ("succeeded", VALUE, VALUE)
    opened = agent.desk.opened._base()
    await until(lambda: not list(opened.iterdir()), 60)


@ENGINE
async def test_a_container_of_another_user_and_with_an_entrypoint_of_its_own_finds_it(yard, key, engine_image):  # noqa: F811
    await contained(yard, key)
    said = ("-c", 'printf "%s|%s|%s" "$TOKEN" "$(id -u)" "$1"', "sh", "a b")
    options = ("--entrypoint", "/bin/sh")
    (name,) = await yard.assign(*said, container=IMAGE, container_options=options, uid=12345, secrets=("TOKEN",))
    end = await yard.ended(name, 60)
    assert end.outcome == "succeeded", end
    assert end.stdout.tail == f"{VALUE}|12345|a b"


@ENGINE
async def test_signals_reach_the_command_and_its_exit_code_comes_back(yard, key, engine_image):  # noqa: F811
    await contained(yard, key)
    (code,) = await yard.assign("sh", "-c", "exit 7", container=IMAGE, secrets=("TOKEN",))
    script = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.02; done"
    (stopped,) = await yard.assign("sh", "-c", script, container=IMAGE, secrets=("TOKEN",), grace=30)
    assert (await yard.ended(code, 60)).exit_code == 7
    await until(lambda: "running" in yard.moves(stopped), 60)
    place = yard.agents[0].desk.place(yard.agents[0].desk.attempts.held[stopped])
    await until(lambda: os.path.exists(place.stdout) and os.path.getsize(place.stdout), 60)
    await yard.signal("stop", stopped)
    assert (await yard.ended(stopped, 60)).stdout.tail == "up\nasked\n"


@ENGINE
async def test_an_adopted_container_goes_on_though_its_secret_is_gone(yard, key, engine_image):  # noqa: F811
    await contained(yard, key)
    script = 'while [ ! -e /output/go ]; do sleep 0.05; done; printf %s "$TOKEN"'
    (name,) = await yard.assign("sh", "-c", script, container=IMAGE, secrets=("TOKEN",))
    await until(lambda: "running" in yard.moves(name), 60)
    agent = yard.agents[0]
    place = agent.desk.place(agent.desk.attempts.held[name])
    await told(yard, gives(""), until_held=())
    await yard.kill_agent(agent)
    await agent.transfers.stager.close()
    await yard.start_agent()
    Path(f"{place.places.output}/go").touch()
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout.tail) == ("succeeded", VALUE), end


@ENGINE
async def test_each_step_finds_it(yard, key, engine_image):  # noqa: F811
    await contained(yard, key)
    step = Step(command=("sh", "-c", 'printf "%s." "$TOKEN"'), container=IMAGE)
    (name,) = await yard.assign(*step.command, container=IMAGE, steps=(step, step), secrets=("TOKEN",))
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout.tail) == ("succeeded", f"{VALUE}.{VALUE}."), end


@ENGINE
async def test_a_container_without_its_secret_does_not_start(yard, key, engine_image):  # noqa: F811
    await yard.start_agent(docker=dict(os.environ))
    (name,) = await yard.assign("true", container=IMAGE, secrets=("TOKEN",))
    end = await yard.ended(name, 60)
    assert (end.outcome, end.cause) == ("failed", "launch")
    assert "longshore secret share TOKEN" in end.reason


# --- storage ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    """An S3 server that knows one pair of keys, and refuses all others."""
    (tmp_path / "s3/lab").mkdir(parents=True)
    server = Server("rclone", tmp_path / "s3").start()
    yield server
    server.stop()


async def published(yard, name):
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered] or yard.ends(name), 60)
    await yard.signal("publish", name)
    return await yard.ended(name, 60)


COPY = ("sh", "-c", 'tr a-z A-Z <"$INPUT/in.txt" >"$OUTPUT/o.txt"')
PLACES = {"inputs": ("s3://lab/in.txt",), "output": "s3://lab/out/"}


async def test_credentials_among_the_secrets_of_a_task_reach_its_storage_and_are_nobody_elses(
    yard, key, store, tmp_path
):
    (tmp_path / "s3/lab/in.txt").write_text("hello")
    await yard.start_agent(environ={"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "not-these"})
    await told(yard, gives(box(key, store.environ, store=True)), until_held=("u/TOKEN",))
    (name,) = await yard.assign(*COPY, **PLACES, secrets=("TOKEN",))
    end = await published(yard, name)
    assert end.outcome == "succeeded", end
    assert (tmp_path / "s3/lab/out/o.txt").read_text() == "HELLO"
    assert yard.agents[0].transfers.stager.storage._own == {}
    wrong = {**store.environ, "AWS_SECRET_ACCESS_KEY": "wrong"}
    await yard.tell(gives(box(key, wrong, store=True)))
    (refused,) = await yard.assign(*COPY, **PLACES, secrets=("TOKEN",))
    end = await yard.ended(refused, 60)
    assert (end.outcome, end.cause) == ("failed", "stage-in"), end


async def test_a_secret_that_is_no_credential_for_storage_changes_nothing_there(yard, key, store, tmp_path):
    (tmp_path / "s3/lab/in.txt").write_text("hello")
    await yard.start_agent(environ=store.environ)
    await told(yard, gives(box(key, {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"})), until_held=("u/TOKEN",))
    (name,) = await yard.assign(*COPY, **PLACES, secrets=("TOKEN",))
    assert (await published(yard, name)).outcome == "succeeded"


async def test_what_was_fetched_with_a_users_credentials_is_lent_to_no_other(yard, key, store, tmp_path):
    (tmp_path / "s3/lab/ref.txt").write_text("mine")
    await yard.start_agent()
    await told(yard, gives(box(key, store.environ, store=True)), until_held=("u/TOKEN",))
    (name,) = await yard.assign(
        "sh", "-c", 'cat "$RESOURCE/ref.txt"', resources=("s3://lab/ref.txt",), secrets=("TOKEN",)
    )
    assert (await yard.ended(name, 60)).stdout.tail == "mine"
    (other,) = await yard.assign("sh", "-c", 'cat "$RESOURCE/ref.txt"', resources=("s3://lab/ref.txt",))
    assert (await yard.ended(other, 60)).cause == "stage-in"


async def test_objects_are_fetched_by_signed_addresses(yard, key, store, tmp_path):
    from longshore_data import grants

    (tmp_path / "s3/lab/in put.txt").write_text("by address")
    granted = grants.presigned(("s3://lab/in put.txt",), 600, "", store.environ, 1000.0)
    await yard.start_agent()
    await told(yard, gives(box(key, granted.values, store=True)), until_held=("u/TOKEN",))
    (name,) = await yard.assign(
        "sh", "-c", 'cat "$INPUT/in put.txt"', inputs=("s3://lab/in put.txt",), secrets=("TOKEN",)
    )
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout and end.stdout.tail) == ("succeeded", "by address"), end
    (other,) = await yard.assign("true", inputs=("s3://lab/in put.txt",))
    assert (await yard.ended(other, 60)).cause == "stage-in"


async def test_credentials_that_expired_before_staging_fail_for_good(yard, key, store):
    await yard.start_agent()
    await told(yard, gives(box(key, store.environ, store=True, expires=1000.0)), until_held=("u/TOKEN",))
    (name,) = await yard.assign(*COPY, **PLACES, secrets=("TOKEN",))
    end = await yard.ended(name, 60)
    assert (end.cause, end.definite) == ("launch", True), end
    assert "expired" in end.reason


@ENGINE
async def test_podman_gives_it_too_also_to_another_user_than_root(yard, key, engine_image, podman):  # noqa: F811
    await yard.start_agent(docker={"DOCKER_HOST": f"unix://{podman.socket}"})
    await told(yard, gives(box(key)), until_held=("u/TOKEN",))
    words = ("sh", "-c", 'printf "%s|%s" "$TOKEN" "$(id -u)"')
    (root,) = await yard.assign(*words, container=IMAGE, secrets=("TOKEN",))
    (other,) = await yard.assign(*words, container=IMAGE, uid=12345, secrets=("TOKEN",))
    assert (await yard.ended(root, 120)).stdout.tail == f"{VALUE}|0"
    assert (await yard.ended(other, 120)).stdout.tail == f"{VALUE}|12345"


@ENGINE
async def test_in_an_image_without_a_shell_it_is_a_file(yard, key, engine_image):  # noqa: F811
    import io
    import subprocess
    import tarfile

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        busybox = Path("/bin/busybox").read_bytes()
        info = tarfile.TarInfo("cat")
        info.size, info.mode = len(busybox), 0o755
        tar.addfile(info, io.BytesIO(busybox))
    made = ["docker", "import", "-", "longshore-test/shell-less:1"]
    subprocess.run(made, input=packed.getvalue(), capture_output=True, check=True, timeout=60)
    await contained(yard, key)
    image = "longshore-test/shell-less:1"
    (name,) = await yard.assign("/cat", "/run/secrets/TOKEN", container=image, secrets=("TOKEN",))
    end = await yard.ended(name, 60)
    assert (end.outcome, end.stdout and end.stdout.tail) == ("succeeded", VALUE), end
