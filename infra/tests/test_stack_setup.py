"""What `longshore up` prepares: binaries new enough, ports, keys that nobody else reads, PostgreSQL without root."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from longshore_common.errors import BadInput, Refused, Unreachable
from longshore_infra.stack import keys, nats, postgres, services
from longshore_infra.stack.layout import Layout, Ports, choose_ports


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "state")
    made.create()
    return made


def fake_server(place: Path, version: str) -> Path:
    place.mkdir(exist_ok=True)
    binary = place / "nats-server"
    binary.write_text(f"#!/bin/sh\necho 'nats-server: v{version}'\n")
    binary.chmod(0o755)
    return binary


@contextmanager
def greeting(**info: object) -> Iterator[str]:
    """A server that says INFO to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.sendall(b"INFO " + json.dumps(info).encode() + b" \r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"nats://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def test_an_explicit_nats_server_that_is_too_old_is_refused_by_name_and_version(tmp_path):
    old = fake_server(tmp_path / "old", "2.10.25")
    with pytest.raises(Refused, match=r"old/nats-server.*2\.10\.25.*2\.12"):
        nats.find_server({"LONGSHORE_NATS_SERVER": str(old)})


def test_an_old_nats_server_on_the_path_is_passed_over_and_a_new_one_is_taken(tmp_path):
    old, new = fake_server(tmp_path / "old", "2.11.9"), fake_server(tmp_path / "new", "2.12.0")
    assert nats.find_server({"PATH": str(new.parent)}) == new
    assert nats.find_server({"PATH": str(old.parent)}).name == "nats-server"
    assert nats.find_server({"PATH": str(old.parent)}) != old
    assert nats.version_of(nats.find_server({"PATH": str(old.parent)})) >= (2, 12)


def test_something_that_is_no_nats_server_is_refused(tmp_path):
    with pytest.raises(Refused, match="cannot be run"):
        nats.find_server({"LONGSHORE_NATS_SERVER": str(tmp_path / "none")})
    with pytest.raises(Refused, match="is no nats-server"):
        nats.find_server({"LONGSHORE_NATS_SERVER": "/bin/true"})


def test_an_outside_server_that_is_too_old_or_has_no_jetstream_is_refused():
    with greeting(version="2.10.25", jetstream=True) as url, pytest.raises(Refused, match=r"2\.10\.25.*2\.12"):
        nats.check_outside(url)
    with greeting(version="2.15.1") as url, pytest.raises(Refused, match="no JetStream"):
        nats.check_outside(url)
    with greeting(version="2.12.0", jetstream=True) as url:
        nats.check_outside(url)


def test_an_outside_server_that_does_not_answer_is_named():
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        nats.check_outside("nats://127.0.0.1:1")


def test_an_outside_database_that_lets_nobody_in_is_refused_without_showing_its_password():
    with pytest.raises(Unreachable, match="DATABASE_URL cannot be used") as refused:
        postgres.check_outside("postgresql://me:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(Unreachable, match="DATABASE_URL cannot be used"):
        postgres.check_outside("mysql://elsewhere")


def test_ports_are_kept_while_free_and_chosen_anew_when_taken():
    first = choose_ports(None)
    assert choose_ports(first) == first
    with socket.create_server(("127.0.0.1", first.api)):
        again = choose_ports(first)
    assert (again.nats, again.postgres) == (first.nats, first.postgres)
    assert again.api not in (first.api, first.nats, first.postgres)
    assert isinstance(again, Ports)


def test_secrets_are_private_and_survive_while_credentials_are_minted_anew(layout):
    first = keys.prepare(layout, {})
    kept = {file: file.read_bytes() for folder in (layout.keys, layout.secrets) for file in folder.iterdir()}
    assert first.account in first.server_conf
    assert keys.prepare(layout, {})._replace(server_conf="") == first._replace(server_conf="")
    assert {file: file.read_bytes() for file in kept} == kept
    made = [*kept, *layout.creds.iterdir()]
    assert {p.name for p in layout.creds.iterdir()} == {
        *(f"{n}.creds" for n in ("dispatch", "api", "recruit", "system", first.user)), "owner.json",
    }  # fmt: skip
    assert {stat.S_IMODE(file.stat().st_mode) for file in made} == {0o600}
    assert stat.S_IMODE(layout.keys.stat().st_mode) == 0o700


def test_the_keys_of_an_outside_account_come_whole_or_not_at_all(layout, tmp_path):
    outside = {"NATS_URL": "nats://elsewhere"}
    assert keys.prepare(layout, outside).account_seed == layout.keys / "signing.seed"
    with pytest.raises(BadInput, match="both"):
        keys.prepare(layout, outside | {"LONGSHORE_ACCOUNT_PUBLIC": "AX"})
    with pytest.raises(BadInput, match="no file"):
        keys.prepare(layout, outside | {"LONGSHORE_ACCOUNT_PUBLIC": "AX", "LONGSHORE_ACCOUNT_SEED_FILE": "/none"})
    own = layout.keys / "signing.seed"
    named = outside | {"LONGSHORE_ACCOUNT_PUBLIC": "AX", "LONGSHORE_ACCOUNT_SEED_FILE": str(own)}
    assert keys.prepare(layout, named)[:3] == (own, "AX", "")


def test_storage_keys_reach_agents_only_and_servers_of_others_are_not_passed_on(layout):
    environ = {"AWS_ACCESS_KEY_ID": "k", "NATS_URL": "nats://x", "DATABASE_URL": "postgresql://x", "HOME": "/h"}
    places = services.Places("nats://127.0.0.1:1", "postgresql://own", "127.0.0.1:2")
    made = services.services(layout, keys.prepare(layout, {}), places, environ)
    assert not any("AWS_ACCESS_KEY_ID" in part.env for part in made)
    assert {part.name for part in made if part.env.get("DATABASE_URL")} == {"api"}
    spawner, agent = services.workers(layout, places, 3, 1, environ)
    assert agent.env["AWS_ACCESS_KEY_ID"] == "k"
    assert agent.env["NATS_URL"] == places.nats_url
    assert "DATABASE_URL" not in agent.env
    assert agent.stop_order < spawner.stop_order < min(part.stop_order for part in made)


def test_a_state_directory_too_deep_for_sockets_is_refused_with_the_fix(tmp_path):
    deep = Layout(tmp_path / ("x" * 100))
    with pytest.raises(Refused, match="too long a path"):
        services.workers(deep, services.Places("", "", ""), 1, 1, {})


@contextmanager
def serving(part: postgres.Part) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(part.command, env=part.env, cwd=part.cwd, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(part.stop_signal)
        process.wait(20)


async def query(url: str, text: str):
    end = time.monotonic() + 20
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=5)
        except (OSError, asyncpg.CannotConnectNowError):
            assert time.monotonic() < end
            await asyncio.sleep(0.02)
            continue
        try:
            return await connection.fetchval(text)
        finally:
            await connection.close()


@pytest.mark.parametrize("depth", [1, 90], ids=["by a Unix socket", "by loopback where the socket's path is too long"])
async def test_postgres_runs_below_a_private_directory_and_asks_for_its_password(tmp_path, depth):
    closed = tmp_path / "closed"  # 0700: as root, PostgreSQL's own user could not even enter
    closed.mkdir(mode=0o700)
    layout = Layout(closed / ("x" * depth))
    layout.create()
    port = choose_ports(None).postgres
    part, url = postgres.prepare(layout, port)
    with serving(part) as process:
        assert await query(url, "SELECT current_database()") == "longshore"
        assert await query(url, "SHOW fsync") == "on"
        assert Path(f"/proc/{process.pid}").stat().st_uid == (layout.postgres / "data").stat().st_uid != 0
        with pytest.raises(asyncpg.InvalidPasswordError):
            await query(url.replace("longshore:", "longshore:x"), "SELECT 1")
    assert not (layout.postgres / "password").exists()


async def test_postgres_starts_again_after_a_crash_even_if_its_old_pid_is_taken(tmp_path):
    layout = Layout(tmp_path / "s")
    layout.create()
    port = choose_ports(None).postgres
    part, url = postgres.prepare(layout, port)
    with serving(part) as process:
        await query(url, "CREATE TABLE kept AS SELECT 7 AS n")
        await query(url, "CHECKPOINT")
        process.kill()
    lock = layout.postgres / "data/postmaster.pid"
    lock.write_text(lock.read_text().replace(str(process.pid), str(os.getpid()), 1))
    part, url = postgres.prepare(layout, port)
    with serving(part):
        assert await query(url, "SELECT n FROM kept") == 7


def test_half_a_cluster_is_made_anew(tmp_path):
    layout = Layout(tmp_path / "s")
    layout.create()
    (layout.postgres / "data.new").mkdir(parents=True)
    postgres.prepare(layout, 1)
    assert (layout.postgres / "data/PG_VERSION").exists()
