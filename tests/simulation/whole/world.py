"""One seed: all nodes, the weather over them, and the books that are kept of what they do.

A storm first, in which users wish, nodes die at any await and messages go astray; then the weather clears, and every task
must end. What must not enter: how a node works.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, NoReturn

import structlog

from longshore_common.adapters.memory_log import Hub
from longshore_common.model import HostFacts
from longshore_dispatcher.service import Dispatcher, Settings

from ..ledger import Ledger
from .checks import Checks
from .host import Agent, Host
from .loop import NODE, Standstill, VirtualLoop
from .projector import Projector
from .users import User
from .weather import NodeClock, Weather
from .wire import Wire

#: The beginning, as Unix seconds.
EPOCH = 1_700_000_000.0
#: Virtual seconds of storm, and of clear weather after which everything must have ended.
STORM, CALM = 60.0, 3000.0
#: Events of one history at most, ten times as many as any had: more is something that goes round and round.
MOST_EVENTS = 20_000
FACTS = {
    "w1": (HostFacts(cpus=2, memory=8 << 30), 1),
    "w2": (HostFacts(cpus=4, memory=8 << 30, engines=("docker",)), 2),
    "w3": (HostFacts(cpus=1, memory=1 << 30), 1),
    "w4": (HostFacts(cpus=8, memory=16 << 30, engines=("docker",)), -1),
}


class Books(Hub):
    """The log, of which a ledger is kept as it grows."""

    def __init__(self, clock: Any, slack: float) -> None:
        super().__init__(clock)
        self.ledger = Ledger(slack, admitted=True)
        self.wrong: list[BaseException] = []

    def _add(self, record: Any) -> None:
        super()._add(record)
        if len(self.records) > MOST_EVENTS:
            self._fail(AssertionError(f"round and round: {[r.event for r in self.records[-12:]]}"))
        try:
            self.ledger.fold(self.records[-1])
        except BaseException as err:
            self._fail(err)

    def _fail(self, err: BaseException) -> NoReturn:
        self.wrong.append(err)
        raise err


class Node:
    """One process: it is killed at an await, stopped now and then, and started again by whoever looks after it."""

    def __init__(self, world: "World", role: str, name: str, begin: Callable[["Node"], Any]) -> None:
        self.world, self.role, self.name, self.begin = world, role, name, begin
        self.wire: Wire | None = None
        self.dead = True
        self.left = 0
        self.thing: Any = None

    def start(self) -> None:
        """A new process."""
        world = self.world
        if not self.dead:
            return
        self.dead = False
        every = world.weather.crash_every
        self.left = int(world.dice.expovariate(1 / every)) + 1 if every and world.weather.storm else -1
        self.stop, self.thing = asyncio.Event(), None
        self.wire = Wire(world.hub, world.weather, self.role, self.name)
        context = copy_context()
        context.run(NODE.set, self)
        self.task = context.run(self._create)
        self.task.add_done_callback(self._ended)

    def _create(self) -> Any:
        return asyncio.get_running_loop().create_task(self.begin(self))

    def crash(self) -> None:
        """kill -9."""
        self.world.note(f"{self.name} is killed")
        self.dead = True
        self.wire.cut()
        if isinstance(self.thing, Agent):
            self.thing.die()
        self.task.cancel()
        self._again()

    def _ended(self, task: Any) -> None:
        """It stopped by itself, or fell over."""
        if task.cancelled():
            return
        if task.exception() is not None:
            self.world.failed(task.exception())
        elif not self.dead:
            self.dead = True
            self._again()

    def _again(self) -> None:
        later = copy_context()
        later.run(NODE.set, self.world)
        wait = self.world.dice.choice((0.1, 2, 25)) * self.world.dice.random()
        later.run(self.world.loop.call_later, wait, self.start)


class World:
    """Everything of one seed."""

    def __init__(self, seed: int, *, verbose: bool = False) -> None:
        self.seed, self.verbose = seed, verbose
        self.dice = random.Random(seed)
        self.weather = Weather(random.Random(seed + 1))
        self.loop = VirtualLoop(random.Random(seed + 2))
        self.loop.watch = self._watch
        self.hub = Books(self._clock(), 3 * self.weather.skew)
        self.published: dict[str, list[str]] = {}
        self.errors: list[BaseException] = []
        self.hosts = {name: Host(name, *of, self) for name, of in FACTS.items()}
        self.nodes = [Node(self, "dispatch", name, self._dispatcher) for name in ("d1", "d2")]
        self.nodes += [Node(self, "worker", name, self._agent) for name in FACTS]
        self.nodes += [Node(self, "api", "api", self._projector)]
        self.user = User(self)

    # --- nodes --------------------------------------------------------------------------------------------------------

    async def _dispatcher(self, node: Node) -> None:
        settings = Settings(name=node.name, snapshot_events=self.weather.dice.choice((10, 60, 1000)))
        node.thing = Dispatcher(node.wire, settings, self._clock())
        await node.thing.run(node.stop)
        await node.wire.close()

    async def _agent(self, node: Node) -> None:
        host = self.hosts[node.name]
        if host.life and self.weather.chance(0.15):
            self.note(f"{node.name} comes back empty")
            host.wipe()
        node.thing = Agent(host, node.wire, self._clock())
        await node.thing.run()

    async def _projector(self, node: Node) -> None:
        node.thing = Projector(node.wire)
        await node.thing.run()

    def _clock(self) -> NodeClock:
        return NodeClock(self.loop.time, self.weather, EPOCH)

    def _watch(self, node: object) -> None:
        if self.errors:
            self.loop.stop()
        if isinstance(node, Node) and not node.dead and node.left > 0 and self.weather.storm:
            node.left -= 1
            if node.left == 0:
                node.crash()

    def note(self, what: str) -> None:
        """For whoever reads the replay of a seed."""
        if self.verbose:
            print(f"{self.loop.time():10.3f}  {what}", file=sys.stderr)

    def failed(self, err: BaseException) -> None:
        """Something that must not happen did."""
        self.errors.append(err)

    # --- one history --------------------------------------------------------------------------------------------------

    def run(self) -> "World":
        """The whole history. Raises what went wrong."""
        ears = _Ears(self)
        structlog.configure(wrapper_class=lambda *_args, **_more: ears, cache_logger_on_first_use=False)
        self.loop.set_exception_handler(
            lambda _loop, context: self.failed(context.get("exception") or AssertionError(context))
        )
        main = self.loop.create_task(self._history())
        try:
            self.loop.run_until_complete(main)
        except RuntimeError:
            if not self.errors:
                raise
        finally:
            self._close()
        if self.hub.wrong:
            raise self.hub.wrong[0]
        if self.errors:
            raise self.errors[0]
        return self

    async def _history(self) -> None:
        for node in self.nodes:
            node.start()
        checks = Checks(self)
        await self.user.storm(STORM)
        self.weather.storm = False
        self.note("the weather clears")
        for node in self.nodes:
            node.start()
        await self.user.mend()
        end = self.loop.time() + CALM
        while not checks.all_ended():
            assert self.loop.time() < end, checks.stuck()
            for submission, index in checks.awaited():
                await self.user.retry(submission, index)
            await asyncio.sleep(10)
        await checks.quiet()
        checks.at_the_end()

    def _close(self) -> None:
        """Let every task go, as nobody hears any more."""
        self.loop.watch = lambda node: None
        self.loop.set_exception_handler(lambda *_: None)
        for node in self.nodes:
            node.dead = True
            if node.wire is not None:
                node.wire.cut()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop._stopping = False
            with contextlib.suppress(Standstill):
                self.loop.run_until_complete(asyncio.wait(tasks))
            for task in tasks:
                task.done() and not task.cancelled() and task.exception()
        self.loop.close()


class _Ears:
    """The services' log: what they call an error fails the seed."""

    def __init__(self, world: World) -> None:
        self.world = world

    def info(self, event: str, **more: Any) -> None:
        node = NODE.get()
        if self.world.verbose:
            self.world.note(f"{getattr(node, 'name', node)}: {event} {more}")

    warning = debug = bind = new = info

    def error(self, event: str, **more: Any) -> None:
        self.info(event, **more)
        self.world.failed(sys.exc_info()[1] or AssertionError(f"{event}: {more}"))

    exception = error
