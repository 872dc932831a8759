"""Wires the agent together from settings, and runs it until it is told to stop.

What must not enter: decisions (core), formats and sockets (adapters), the command line.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import NamedTuple

from msgspec import structs

from longshore_agent.adapters import confinement, enrolment, gpus, host
from longshore_agent.adapters.aside import answered
from longshore_agent.adapters.cache import Cache
from longshore_agent.adapters.journal import Journal, Lived
from longshore_agent.adapters.output_store import BucketStore, FolderStore, OutputStore
from longshore_agent.adapters.room import Room, below
from longshore_agent.adapters.workdirs import WorkDirs
from longshore_agent.core import admission, capacity, watermark
from longshore_agent.core.contract import Host
from longshore_agent.core.devices import UNPINNED, Ledger
from longshore_agent.core.limits import Limits
from longshore_agent.core.ports import ContainerEngine, Stager
from longshore_agent.service import keeping, memory, storing
from longshore_agent.service.agent import Agent, Beside
from longshore_agent.service.bare import BareLane
from longshore_agent.service.confidences import Confidences
from longshore_agent.service.contained import ContainedLane
from longshore_agent.service.desk import Desk
from longshore_agent.service.errands import Errands
from longshore_agent.service.holding import Holding
from longshore_agent.service.remotes import SharedRemotes
from longshore_agent.service.reporting import Reporter
from longshore_agent.service.settings import Settings
from longshore_agent.service.sweeps import Sweeps
from longshore_agent.service.transfers import Transfers
from longshore_agent.service.watch import Watch
from longshore_common import logs, subjects
from longshore_common.clock import Clock, SystemClock
from longshore_common.errors import BadInput, LongshoreError, Refused, Unreachable
from longshore_common.ids import token
from longshore_common.log import Transport

log = logs.get_logger()


class Outside(NamedTuple):
    """What an agent stands between: the log, storage, container engines, time; its disk; what it is given in boxes."""

    transport: Transport
    stager: Stager
    engine: ContainerEngine
    clock: Clock
    room: Room | None = None
    cache: Cache | None = None
    remotes: SharedRemotes | None = None
    secrets: Confidences | None = None


class Restored(NamedTuple):
    """An agent's memory opened: its journal and what that says."""

    journal: Journal
    memory: memory.Memory
    directory: Path


def restore(settings: Settings) -> Restored:
    """Open the journal of this worker and begin a new life. `BadInput` if another agent has it, or the disk refuses."""
    token(settings.worker, "worker")
    if not settings.worker_dir:
        raise BadInput("set LONGSHORE_WORKER_DIR to a directory that stays")
    slots = capacity.slots(settings.concurrency, os.cpu_count() or 1)
    prefetch = capacity.prefetch(settings.prefetch)
    directory = Path(settings.worker_dir).absolute()
    journal = Journal(directory / "journal")
    try:
        records = journal.open()
        known = memory.recalled(records, slots)
        if not known.attempts.resized:
            known.attempts.prefetch, known.attempts.prefetch_percent = prefetch
        known.life += 1
        journal.rewrite([memory.state(known), Lived(known.life)])
    except BlockingIOError as err:
        raise BadInput(f"another agent works in {directory}; one directory, one agent") from err
    except OSError as err:
        raise BadInput(f"cannot keep a journal in {directory}: {err.strerror}; free space, or choose another") from err
    return Restored(journal, known, directory)


async def build(settings: Settings, restored: Restored, outside: Outside) -> Agent:
    """An agent ready to run."""
    journal, known, directory = restored
    dirs = WorkDirs(directory / "attempts", outside.room, settings.keep_failed)
    dirs.reset({a.place for a in known.attempts.held.values() if a.place})
    engines = await outside.engine.probe()
    cards, problem = await _cards()
    limits = _limits(settings, cards)
    facts = host.facts(dirs.base, engines.names, (*engines.problems, *filter(None, [problem, confinement.problem()])))
    facts = structs.replace(
        facts,
        gpus=len(limits.ledger.gpus),
        gpu_names=cards.names if cards else (),
        disk=await _disk(settings, dirs, outside.cache),
        custom=capacity.custom(settings.custom),
    )
    limits.cpus, limits.memory, limits.offer = facts.cpus, facts.memory, admission.offered(facts)
    known.attempts.equip(limits)
    here = Host(settings.worker, facts.cpus, facts.memory, known.attempts.width)
    desk = Desk(here, journal, dirs, known.attempts, outside.clock)
    reporter = Reporter(desk, known.life, outside.transport.log, known.reports)
    own = not settings.spawner_socket
    socket = Path(settings.spawner_socket) if settings.spawner_socket else directory / "spawner.sock"
    bare = BareLane(desk, socket, own=own, spawner_id=known.spawner, noop=settings.executor == "noop")
    contained = ContainedLane(desk, outside.engine)
    transfers = Transfers(desk, outside.stager, outside.engine, _output_store(settings, outside))
    beside = Beside(
        Watch(desk, reporter, settings, cards),
        Errands(desk, reporter),
        Sweeps(desk, reporter, outside.stager, transfers.store),
        Holding(reporter, outside.cache),
    )
    keeping.wire(beside, dirs, outside.cache, outside.engine)
    beside.errands.chores["doctor"] = lambda: _visit(settings, engine=bool(engines.names))
    agent = Agent(desk, outside.transport, reporter, (bare, contained, transfers), beside)
    agent.facts, agent.batch = facts, settings.batch
    if outside.remotes is not None:
        await agent.use(outside.remotes)
    if outside.secrets is not None:
        agent.confide(outside.secrets)
    reporter.state = lambda: memory.state(
        memory.Memory(known.attempts, list(reporter.outbox()), known.life, bare.spawner_id)
    )
    return agent


async def _visit(settings: Settings, *, engine: bool) -> tuple[str, int]:
    """The doctor comes to the agent at work; it frees nothing."""
    from longshore_agent.service import doctor

    return await doctor.visit(settings, os.environ, engine=engine), 0


async def _cards() -> tuple[gpus.Gpus | None, str]:
    """The GPUs, and what is wrong with them; a driver that hangs is one that is not there."""
    try:
        return await asyncio.wait_for(answered(gpus.find), 10)
    except TimeoutError:
        return None, "GPUs cannot be used: their driver does not answer; does `nvidia-smi` work on this host?"


async def _disk(settings: Settings, dirs: WorkDirs, cache: Cache | None) -> int:
    """Bytes that tasks may use in all: what is free above the watermark, what they use already, and what is only kept."""
    space = host.space(dirs.base)
    used = await asyncio.to_thread(below, str(dirs.base))
    kept = cache.size if cache is not None else 0
    return max(0, space.free + used + kept - watermark.low(settings.disk_low, space.total))


def _limits(settings: Settings, cards: gpus.Gpus | None) -> Limits:
    """What attempts may be given of this host."""
    limits = Limits()
    nodes = host.numa_nodes() if settings.numa == "on" else UNPINNED
    limits.ledger = Ledger(gpus.chosen(settings.gpus, cards), nodes)
    return limits


def _output_store(settings: Settings, outside: Outside) -> OutputStore:
    if settings.output_store:
        return FolderStore(settings.output_store, outside.remotes.storage if outside.remotes else None)
    return BucketStore(outside.transport.blobs, subjects.outputs(settings.worker))


async def run(settings: Settings) -> bool:
    """Enrol if need be, connect, and work until SIGTERM or SIGINT; true if it was ordered to start again."""
    restored = restore(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    again = asyncio.Event()
    ordered = asyncio.ensure_future(again.wait())
    work = asyncio.ensure_future(_work(settings, restored, again))
    await asyncio.wait({stopping, ordered, work}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    ordered.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=15)
        log.info("agent-stopped", worker=settings.worker)
    if work.done() and not work.cancelled():
        work.result()
    return again.is_set() and not stop.is_set()


async def _work(settings: Settings, restored: Restored, again: asyncio.Event) -> None:
    # 0.4 s and an HTTP client: not before it is needed
    from longshore_agent.adapters.containers import DockerEngine, Offers, permissions

    offers = Offers(permissions(settings.volumes, settings.allow_options), settings.container_network)
    transport = await _transport(settings, restored.directory)
    stored = storing.build(settings, restored.directory, os.environ)
    engine = DockerEngine(os.environ, str(restored.directory), transfer=stored.stager.transfer, offers=offers)
    given = (stored.remotes, stored.secrets)
    outside = Outside(transport, stored.stager, engine, SystemClock(), stored.room, stored.cache, *given)
    agent = await build(settings, restored, outside)
    agent.errands.restart = again
    try:
        await agent.run()
    finally:
        await _stop(settings, agent, outside)
        restored.journal.close()


async def _transport(settings: Settings, directory: Path) -> Transport:
    """Connected; credentials of an earlier enrolment that are refused now are thrown away, and we enrol again."""
    from longshore_common.adapters import nats_log

    while True:
        door = await _door(settings, directory)
        try:
            return await nats_log.connect(door.nats_url, creds=door.creds, role="worker", name=settings.worker)
        except Refused as err:
            if settings.nats_creds:
                raise
            log.warning("credentials-refused", reason=str(err))
            enrolment.forget(directory)
            await asyncio.sleep(1)


async def _stop(settings: Settings, agent: Agent, outside: Outside) -> None:
    """Tell the log what is known, for 5 s at most; processes go on unless the settings say otherwise."""
    if settings.stop == "kill" and not agent.errands.restart.is_set():
        await agent.stop_all()
    agent.bare.hang_up()
    reporting = asyncio.ensure_future(agent.reporter.run())
    try:
        agent.reporter.wake()
        await asyncio.wait_for(agent.reporter.idle.wait(), 5)
    except TimeoutError:
        log.warning("reports-left-for-next-life", reports=len(agent.reporter.outbox()))
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
    for port in (outside.stager, outside.engine, outside.transport):
        await port.close()


async def _door(settings: Settings, directory: Path) -> enrolment.Door:
    """Where to connect: by settings, by an earlier enrolment, or by a new one, tried until the api answers."""
    if settings.nats_url and settings.nats_creds:
        return enrolment.Door(settings.nats_url, settings.nats_creds)
    pause = 0.25
    while True:
        door = enrolment.known(directory)
        if door is not None:
            return door._replace(nats_url=settings.nats_url or door.nats_url)
        if not settings.api_url:
            raise BadInput("set LONGSHORE_API_URL and LONGSHORE_JOIN_SECRET_FILE to enrol, or NATS_URL and NATS_CREDS")
        try:
            await asyncio.to_thread(
                enrolment.enrol, directory, settings.worker, settings.api_url, settings.join_secret_file
            )
            log.info("enrolled", worker=settings.worker, api=settings.api_url)
        except (Unreachable, Refused) as err:
            log.warning("enrolment-waits", reason=str(err), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(10.0, pause * 2)


__all__ = ["Agent", "LongshoreError", "Outside", "Restored", "Settings", "build", "restore", "run"]
