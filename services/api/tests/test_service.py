"""The whole api process against a real nats-server and PostgreSQL: it comes up, enrols, projects, survives, and stops."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from longshore_common import events as e
from longshore_common.adapters import nats_keys
from longshore_common.adapters.nats_log import connect
from longshore_common.errors import LongshoreError
from longshore_common.log import Entry
from longshore_common.model import Array, HostFacts, TaskSpec
from longshore_common.testing.nats_server import NatsServer, running

pytestmark = pytest.mark.slow


class Process:
    """The api as its own process."""

    def __init__(self, server: NatsServer, database: str, directory: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.listen = f"127.0.0.1:{free.getsockname()[1]}"
        for name, text in (("token", "tok"), ("join", "joi"), ("seed", server.signing_seed)):
            (directory / name).write_text(text + "\n")
        self.env = os.environ | {
            "NATS_URL": server.url, "NATS_CREDS": str(server.creds("api")), "DATABASE_URL": database,
            "LONGSHORE_LISTEN": self.listen, "LONGSHORE_ACCOUNT_SEED_FILE": str(directory / "seed"),
            "LONGSHORE_ACCOUNT_PUBLIC": server.account, "LONGSHORE_JOIN_SECRET_FILE": str(directory / "join"),
            "LONGSHORE_API_TOKEN_FILE": str(directory / "token"), "LONGSHORE_WORKER_NATS_URL": server.url,
        }  # fmt: skip
        self.log = directory / "api.log"
        self.child: asyncio.subprocess.Process | None = None
        self.http = httpx.AsyncClient(base_url=f"http://{self.listen}", headers={"Authorization": "Bearer tok"})

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "longshore_api", "run", env=self.env, stdout=log, stderr=log
            )
        await self.until_ready()

    async def until_ready(self) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await self.http.get("/readyz")).json()["ready"]:
                        return
                except (httpx.HTTPError, ValueError):
                    pass
                assert self.child is not None
                assert self.child.returncode is None, self.log.read_text()
                await asyncio.sleep(0.05)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.child is not None
        if self.child.returncode is None:
            self.child.send_signal(number)
        return await asyncio.wait_for(self.child.wait(), 20)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with running(tmp_path / "nats", ready=False) as started:
        yield started


@pytest.fixture
async def api(server: NatsServer, database: str, tmp_path: Path) -> AsyncIterator[Process]:
    process = Process(server, database, tmp_path)
    await process.start()
    yield process
    await process.http.aclose()
    await process.stop(signal.SIGKILL)


async def submit(server: NatsServer, key: str) -> int:
    user = await server.connect("user", "ann")
    body = Array(spec=TaskSpec(command=("true",)), size=2)
    return await user.log.append(Entry(e.TasksSubmitted(key=key, batch="b", body=body), "ann", key))


async def get(api: Process, path: str) -> Any:
    answer = await api.http.get(f"/api/v1/{path}", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_a_user_appends_is_read_back_and_a_stop_is_clean(api: Process, server: NatsServer) -> None:
    seq = await submit(server, "k")
    assert [t["id"] for t in (await get(api, f"tasks?after={seq}"))["items"]] == [f"{seq}.0", f"{seq}.1"]
    assert await api.stop() == 0
    assert '"event": "stopped"' in api.log.read_text()


async def test_an_enrolled_worker_reaches_its_own_subjects_and_no_others(
    api: Process, server: NatsServer, tmp_path: Path
) -> None:
    seed = nats_keys.make_seed("user")
    body = {"name": "w1", "public_key": nats_keys.public_key(seed), "hostname": "h"}
    answer = await api.http.post(
        "/api/v1/workers/enrol", json=body, headers={"Authorization": "Bearer joi"}, timeout=30
    )
    assert answer.status_code == 200, answer.text
    creds = tmp_path / "w1.creds"
    creds.write_text(nats_keys.creds_text(answer.json()["jwt"], seed))
    worker = await connect(answer.json()["nats_url"], creds=str(creds), role="worker", name="w1")
    try:
        joined = e.WorkerJoined(life=1, facts=HostFacts(), concurrency=2)
        seq = await worker.log.append(Entry(joined, "w1", "j1"))
        assert (await get(api, f"workers/w1?after={seq}"))["state"] == "up"
        await worker.blobs.put("out-w1", "1.0.1.stdout.gz", b"data")
        with pytest.raises(LongshoreError):
            await worker.log.append(Entry(joined, "w2", "j2"), deadline=2)
    finally:
        await worker.close()


async def test_a_killed_api_goes_on_where_it_was(api: Process, server: NatsServer) -> None:
    await get(api, f"tasks?after={await submit(server, 'a')}")
    assert await api.stop(signal.SIGKILL) == -signal.SIGKILL
    seq = await submit(server, "b")
    await api.start()
    assert (await get(api, f"batches/b?after={seq}"))["size"] == 4


async def test_the_api_outlives_its_log_server(api: Process, server: NatsServer) -> None:
    await get(api, f"tasks?after={await submit(server, 'a')}")
    server.kill()
    assert len((await get(api, "tasks"))["items"]) == 2
    server.start()
    seq = await submit(server, "b")
    assert (await get(api, f"batches/b?after={seq}"))["size"] == 4


async def test_missing_settings_are_named(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "longshore_api", "run", env=env, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await asyncio.wait_for(child.communicate(), 30)
    assert child.returncode == 2
    assert b"set DATABASE_URL" in told
