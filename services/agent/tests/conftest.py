"""A real spawner, a real agent on the in-memory log, and a dispatcher reduced to what the stories need."""

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from longshore_agent import service
from longshore_agent.adapters import spawner
from longshore_agent.adapters.containers import DockerEngine, Offers
from longshore_agent.service import storing
from longshore_agent.service.settings import Settings
from longshore_common import events as e
from longshore_common.adapters import nats_keys
from longshore_common.adapters.memory_log import Hub
from longshore_common.clock import SystemClock
from longshore_common.log import Entry
from longshore_common.model import TaskSpec
from longshore_common.testing.waiting import until


def alive(pid):
    """Whether a process runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class RealSpawner:
    """A spawner process and one agent's connection to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "s.sock"
        self.process = None
        self.link = None
        self.events = []
        self.n = 0
        self.environ = {}

    async def start(self):
        environ = {"LONGSHORE_SPAWNER_SOCKET": str(self.socket), **self.environ}
        self.process = subprocess.Popen(spawner.command(), env=environ, stdout=subprocess.DEVNULL)
        return await self.connect()

    async def connect(self):
        async def attempt():
            while True:
                try:
                    return await spawner.connect(self.socket, self.events.extend)
                except (FileNotFoundError, ConnectionRefusedError):
                    await asyncio.sleep(0.005)

        self.link = await asyncio.wait_for(attempt(), 10)
        return self.link.hello.result()

    def request(self, argv, *, name=None, env=None, cwd=None, timeout=0.0, uid=None, gid=None):
        """A start request; its files are `<name>.out` and `<name>.err`."""
        self.n += 1
        name = name or f"1.{self.n}.1"
        env = {"PATH": os.environ["PATH"], "LONGSHORE_ATTEMPT": name, **(env or {})}
        out, err = (str(self.directory / f"{name}.{s}") for s in ("out", "err"))
        return ("s", name, list(argv), env, str(cwd or self.directory), out, err, uid, gid, timeout)

    def run(self, *argv, **options):
        request = self.request(argv, **options)
        self.link.send([request])
        return request[1]

    def of(self, kind, name):
        """The first event of this kind about this attempt, without its kind."""
        at = 2 if kind == "E" else 1
        return next((x[1:] for x in self.events if x[0] == kind and x[at] == name), None)

    async def ended(self, name):
        return await until(lambda: self.of("E", name))

    async def started(self, name):
        return await until(lambda: self.of("S", name))

    def said(self, name, stream="out"):
        return (self.directory / f"{name}.{stream}").read_bytes()

    def stop(self):
        if self.link is not None:
            self.link.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


@pytest.fixture
async def host(tmp_path):
    one = RealSpawner(tmp_path)
    await one.start()
    one.link.send([("l", 2)])
    yield one
    one.stop()


class Yard:
    """One worker's agent on an in-memory log, and the dispatcher's end of its subject."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.hub = Hub()
        self.dispatcher = self.hub.connect("dispatch")
        self.n = 0
        self.agents = []
        self.spawner = RealSpawner(directory)
        self.options = {}
        self.clock = SystemClock()

    async def start_agent(self, **options):
        """A new life of the worker; it has joined when this returns."""
        self.options = {**self.options, **options}
        before = len(self.events(e.WorkerJoined))
        settings = Settings(
            worker="w1",
            worker_dir=str(self.directory / "w1"),
            concurrency=self.options.get("slots", 2),
            spawner_socket=str(self.spawner.socket),
            output_store=self.options.get("output_store", ""),
            **{"provider": "none", **self.options.get("settings", {})},
        )
        restored = service.restore(settings)
        transport = self.hub.connect("worker", "w1")
        docker = self.options.get("docker", {"DOCKER_HOST": f"unix://{self.directory}/no-engine"})
        environ = self.options.get("environ", {})
        stored = storing.build(settings, restored.directory, environ, self.clock)
        offers = Offers(network="none")
        engine = DockerEngine(docker, str(self.directory), transfer=stored.stager.transfer, offers=offers)
        outside = service.Outside(
            transport, stored.stager, engine, self.clock, stored.room, stored.cache, stored.remotes, stored.secrets
        )
        agent = await service.build(settings, restored, outside)
        agent.journal = restored.journal
        agent.task = asyncio.ensure_future(agent.run())
        self.agents.append(agent)
        await until(lambda: len(self.events(e.WorkerJoined)) > before or agent.task.done())
        if agent.task.done():
            agent.task.result()
        return agent

    async def kill_agent(self, agent):
        """As kill -9 would: nothing is flushed, nothing said; the journal's lock is let go of as the kernel would do."""
        agent.bare.on_events = lambda _: None
        agent.bare.hang_up()
        agent.task.cancel()
        await asyncio.wait([agent.task])
        await agent.transfers.engine.close()
        agent.journal.abandon()
        self.agents.remove(agent)

    async def tell(self, event):
        self.n += 1
        return await self.dispatcher.log.append(Entry(event, "w1", f"d{self.n}"))

    async def assign(self, *commands, count=1, n=1, publish_of=0, **fields):
        """Assign `count` attempts of one new submission; their ids."""
        self.n += 1
        submission = 1000 + self.n
        spec = TaskSpec(command=tuple(commands), **fields)
        starts = tuple(e.Start(k, n, 100 + k, f"entry-{k}") for k in range(count))
        order = e.Order(submission=submission, spec=spec, batch="b", user="u", starts=starts, publish_of=publish_of)
        await self.tell(e.AttemptsAssigned(orders=(order,)))
        return [f"{submission}.{k}.{n}" for k in range(count)]

    async def signal(self, wanted, *attempts, signal_=None):
        await self.tell(e.AttemptsSignalled(attempts=tuple(attempts), wanted=wanted, signal=signal_))

    def events(self, kind):
        return [r.event for r in self.hub.records if isinstance(r.event, kind)]

    def ends(self, name):
        return [x for r in self.events(e.AttemptsReported) for x in r.ended if x.attempt == name]

    def moves(self, name):
        return [m.state for r in self.events(e.AttemptsReported) for m in r.moved if m.attempt == name]

    def said(self, name):
        """What it wrote so far; "" before it has a place."""
        held = self.agents[0].desk.attempts.held.get(name)
        try:
            return Path(f"{self.directory}/w1/attempts/{held.place}/stdout").read_text()
        except (OSError, AttributeError):
            return ""

    async def ended(self, name, seconds=20.0):
        return (await until(lambda: self.ends(name), seconds))[0]

    async def running(self, name):
        await until(lambda: "running" in self.moves(name))

    async def stop(self):
        for agent in self.agents:
            agent.bare.hang_up()
            agent.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await agent.task
            agent.desk.attempts.check()
            for port in (agent.transfers.stager, agent.transfers.engine, agent.transport):
                await port.close()
            agent.journal.abandon()
        self.spawner.stop()
        for agent in self.agents:
            agent.bare.confinement.attach(os.getpid(), 2, ())  # as the next life would: groups of nobody go


@pytest.fixture
async def yard(tmp_path):
    one = Yard(tmp_path)
    await one.spawner.start()
    one.spawner.link.close()
    yield one
    await one.stop()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(10)


@pytest.fixture
def key(tmp_path):
    """The public key of the worker, as the api has it from its enrolment."""
    seed = nats_keys.make_seed("user")
    (tmp_path / "w1").mkdir(exist_ok=True)
    (tmp_path / "w1/worker.seed").write_text(seed)
    return nats_keys.public_key(seed)
