"""The agent as it is installed: a process on a real NATS in operator mode, enrolled over HTTP, killed and restarted."""

import asyncio
import contextlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.adapters import nats_keys, nats_setup
from longshore_common.log import Entry
from longshore_common.model import TaskSpec
from longshore_common.testing.nats_server import running
from longshore_common.testing.waiting import until

from .conftest import alive, kill

AGENT = [sys.executable, "-m", "longshore_agent"]


class Site:
    """A NATS server, an api reduced to enrolment, and agents as processes."""

    def __init__(self, directory, server):
        self.directory, self.server = directory, server
        self.records, self.processes, self.n = [], [], 0
        (directory / "secret").write_text("join-me")

    async def open(self):
        self.dispatcher = await self.server.connect("dispatch")
        await nats_setup.ensure_worker(await self.server.connect("api"), "w1")
        self.following = asyncio.ensure_future(self.follow())

    async def follow(self):
        async for part in self.dispatcher.log.follow(0, "log.worker.>"):
            self.records += part.records

    def start(self, command="run", **more):
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "DOCKER_HOST": f"unix://{self.directory}/no-engine",
            "LONGSHORE_WORKER": "w1",
            "LONGSHORE_WORKER_DIR": str(self.directory / "w1"),
            "LONGSHORE_CONCURRENCY": "2",
            "LONGSHORE_JOIN_SECRET_FILE": str(self.directory / "secret"),
            "LONGSHORE_SPAWNER_SOCKET": str(self.directory / "s.sock"),
            **more,
        }
        with (self.directory / f"{command}.log").open("ab") as log:
            process = subprocess.Popen([*AGENT, command], env=env, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def start_agent(self, **more):
        return self.start(NATS_URL=self.server.url, NATS_CREDS=self.server.creds("worker", "w1"), **more)

    def said(self, command="run"):
        text = (self.directory / f"{command}.log").read_text()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def events(self, kind):
        return [r.event for r in self.records if isinstance(r.event, kind)]

    def ends(self, *names):
        return [x for r in self.events(e.AttemptsReported) for x in r.ended if x.attempt in names]

    async def assign(self, *command, count=1, **fields):
        self.n += 1
        spec = TaskSpec(command=command, **fields)
        starts = tuple(e.Start(k, 1, k) for k in range(count))
        order = e.Order(submission=self.n, spec=spec, batch="b", user="u", starts=starts)
        await self.dispatcher.log.append(Entry(e.AttemptsAssigned(orders=(order,)), "w1", f"a{self.n}"))
        return [f"{self.n}.{k}.1" for k in range(count)]

    async def close(self):
        self.following.cancel()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(20)


@pytest.fixture
async def site(tmp_path):
    async with running(tmp_path / "nats") as server:
        one = Site(tmp_path, server)
        await one.open()
        yield one
        await one.close()


class Gate(http.server.BaseHTTPRequestHandler):
    """The api's enrolment, by its contract."""

    def do_POST(self):
        """Answer POST /api/v1/workers/enrol."""
        site, body = self.server.site, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        if self.headers["Authorization"] != "Bearer join-me" or self.path != "/api/v1/workers/enrol":
            self.send_error(403, "wrong secret")
            return
        nats = site.server
        holder = nats_keys.Holder(body["name"], body["public_key"])
        jwt = nats_keys.user_jwt(nats.account_seed, nats.account, holder, subjects.permissions("worker", body["name"]))
        answer = json.dumps({"worker": body["name"], "jwt": jwt, "nats_url": nats.url}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def gate(site, port=0):
    with http.server.HTTPServer(("127.0.0.1", port), Gate) as server:
        server.site, server.asked = site, []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


async def test_it_enrols_with_a_key_of_its_own_once_and_works(site):
    with gate(site) as api:
        port = api.server_address[1]
        site.start("spawner")
        agent = site.start(LONGSHORE_API_URL=f"http://127.0.0.1:{port}")
        (name,) = await site.assign("true")
        await until(lambda: site.ends(name))
        agent.terminate()
        assert agent.wait(20) == 0
        assert [set(a) for a in api.asked] == [{"name", "public_key", "hostname"}]
    seed = site.directory / "w1" / "worker.seed"
    assert seed.stat().st_mode & 0o077 == 0
    assert nats_keys.public_key(seed.read_text()) == api.asked[0]["public_key"]
    site.start(LONGSHORE_API_URL=f"http://127.0.0.1:{port}")  # the api is away, and not needed any more
    await until(lambda: len(site.events(e.WorkerJoined)) == 2)


async def test_while_the_api_is_away_or_refuses_it_waits_and_says_so(site):
    (site.directory / "secret").write_text("wrong")
    site.start("spawner")
    with gate(site) as api:
        port = api.server_address[1]
    agent = site.start(LONGSHORE_API_URL=f"http://127.0.0.1:{port}")
    await until(
        lambda: [x for x in site.said() if x["event"] == "enrolment-waits" and "does not answer" in x["reason"]]
    )
    with gate(site, port):
        await until(lambda: [x for x in site.said() if "join secret" in x.get("reason", "")])
        (site.directory / "secret").write_text("join-me")
        await until(lambda: site.events(e.WorkerJoined))
    assert agent.poll() is None


async def test_killed_and_started_again_it_finds_its_running_tasks_and_repeats_none(site):
    site.start("spawner")
    agent = site.start_agent()
    mark = site.directory / "mark"
    mark.mkdir()
    script = f"echo x >> {mark}/$LONGSHORE_ATTEMPT; while [ ! -e {site.directory}/go ]; do sleep 0.01; done"
    names = await site.assign("sh", "-c", script, count=4)
    await until(lambda: len(list(mark.iterdir())) == 2)
    kill(agent)
    (site.directory / "go").touch()
    site.start_agent()
    await until(lambda: len(site.ends(*names)) == 4)
    assert {x.outcome for x in site.ends(*names)} == {"succeeded"}
    assert {(mark / n).read_text() for n in names} == {"x\n"}
    assert [j.life for j in site.events(e.WorkerJoined)] == [1, 2]


async def test_stopped_cleanly_it_leaves_its_tasks_to_the_next_life(site):
    site.start("spawner")
    agent = site.start_agent()
    (name,) = await site.assign("sh", "-c", f"while [ ! -e {site.directory}/go ]; do sleep 0.01; done; exit 9")
    await until(lambda: site.events(e.AttemptsReported))
    agent.terminate()
    assert agent.wait(20) == 0
    (site.directory / "go").touch()
    site.start_agent()
    assert (await until(lambda: site.ends(name)))[0].exit_code == 9


async def test_told_to_restart_it_becomes_the_program_that_is_installed_now_and_its_tasks_go_on(site):
    site.start("spawner")
    agent = site.start_agent(LONGSHORE_STOP="kill")  # a restart is no stop
    script = f"echo x >> {site.directory}/runs; while [ ! -e {site.directory}/go ]; do sleep 0.01; done; exit 9"
    (name,) = await site.assign("sh", "-c", script)
    await until(lambda: (site.directory / "runs").exists())
    await site.dispatcher.log.append(Entry(e.WorkerCareOrdered(care="restart", request=3), "w1", "restart"))
    (cared,) = await until(lambda: site.events(e.WorkerCared))
    assert (cared.life, cared.care, cared.request) == (2, "restart", 3)
    assert "started again as version" in cared.text
    assert agent.poll() is None
    assert [j.life for j in site.events(e.WorkerJoined)] == [1, 2]
    (site.directory / "go").touch()
    assert (await until(lambda: site.ends(name)))[0].exit_code == 9
    assert (site.directory / "runs").read_text() == "x\n"
    agent.terminate()
    assert agent.wait(20) == 0


async def test_told_to_kill_at_its_stop_it_ends_everything_and_leaves(site):
    site.start("spawner")
    agent = site.start_agent(LONGSHORE_STOP="kill")
    (name,) = await site.assign("sh", "-c", f"echo $$ > {site.directory}/pid; sleep 600")
    await until(lambda: (site.directory / "pid").exists() and (site.directory / "pid").read_text())
    agent.terminate()
    assert agent.wait(20) == 0
    await until(lambda: not alive(int((site.directory / "pid").read_text())))
    assert (await until(lambda: site.ends(name)))[0].cause == "evicted"
    await until(lambda: site.events(e.WorkerLeft))


async def test_a_killed_nats_server_costs_nothing_but_time(site):
    site.start("spawner")
    site.start_agent()
    names = await site.assign("sh", "-c", f"echo x >> {site.directory}/out-$LONGSHORE_ATTEMPT", count=200)
    await until(lambda: len(site.ends(*names)) > 20)
    site.server.kill()
    site.server.start()
    await until(lambda: len({x.attempt for x in site.ends(*names)}) == 200, 40)
    assert len(site.ends(*names)) == 200
    assert {(site.directory / f"out-{n}").read_text() for n in names} == {"x\n"}


async def test_without_a_supervised_spawner_it_starts_one_that_outlives_it(site):
    agent = site.start_agent(LONGSHORE_SPAWNER_SOCKET="")
    (name,) = await site.assign("true")
    await until(lambda: site.ends(name))
    said = [x for x in site.said() if x["event"] == "spawner-connected"]
    pid = int(said[0]["spawner"].split("-")[0])
    agent.terminate()
    assert agent.wait(20) == 0
    assert alive(pid)
    os.kill(pid, signal.SIGTERM)
    await until(lambda: not alive(pid))


async def test_a_second_agent_in_the_same_directory_is_refused(site):
    site.start("spawner")
    site.start_agent()
    await until(lambda: site.events(e.WorkerJoined))
    other = site.start_agent()
    assert other.wait(20) == 2
    assert "one directory, one agent" in (site.directory / "run.log").read_text()


def test_the_command_says_how_it_is_used():
    asked = subprocess.run([*AGENT, "--help"], capture_output=True, check=True, timeout=20)
    assert b"spawner" in asked.stdout
    wrong = subprocess.run([*AGENT, "walk"], capture_output=True, check=False, timeout=20)
    assert wrong.returncode == 2
    none = subprocess.run(
        [*AGENT, "run"], capture_output=True, check=False, timeout=20, env={"PATH": os.environ["PATH"]}
    )
    assert (none.returncode, b"worker" in none.stderr) == (2, True)
