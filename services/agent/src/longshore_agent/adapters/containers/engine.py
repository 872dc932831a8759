"""One container engine, Docker or Podman, at one socket: the `ContainerEngine` of `core.ports`.

Every container is found again by its name, so nothing here must be remembered over a restart of the agent. What must
not enter: staging, slots, time limits of tasks.
"""

import asyncio
import signal as signals
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.cgroups import Used
from longshore_agent.adapters.containers import capture, request, usage
from longshore_agent.adapters.containers.capture import Capture
from longshore_agent.adapters.containers.connection import Connection, Engine, described, gone_is_fine
from longshore_agent.adapters.containers.creating import create
from longshore_agent.adapters.containers.feeding import Feeds
from longshore_agent.adapters.containers.images import Images
from longshore_agent.adapters.containers.options import Permissions, parse
from longshore_agent.adapters.containers.request import Host
from longshore_agent.adapters.containers.stored import StoredImages, is_stored
from longshore_agent.core.ports import ContainerEnd, ContainerError, ContainerOrder, Engines
from longshore_common.ids import AttemptId
from longshore_common.model import TaskSpec
from longshore_data.transfer import Transfer

if TYPE_CHECKING:
    from aiodocker import Docker, DockerError

#: Seconds for the rest of the output.
DRAIN: Final = 30.0
#: Seconds between two readings of memory and CPU, where they must be read while a container runs.
SAMPLE: Final = 0.5
#: Times, a second apart, that an engine which broke off is asked again for the end of a container.
RESTART: Final = 60

_UNLIMITED: Final = (
    "limits of memory and CPUs do not hold in containers: {}, as an ordinary user, needs control groups of version 2"
)

_log = structlog.get_logger()


class Offers(NamedTuple):
    """What the operator of a worker gives to containers; see `DockerEngine`."""

    allowed: Permissions = Permissions()
    network: str = "bridge"


#: Nothing but what every worker offers.
CLOSED: Final = Offers()


class _Running(NamedTuple):
    """What we hold of a container that we started or adopted. `sampled`: its id, if what it uses must be read meanwhile."""

    capture: Capture
    output: "asyncio.Task[Any]"
    sampled: str | None


class DockerEngine:
    """See the port. `scope` tells this agent's containers from all others at the engine: its work directory will do.

    `environ`: DOCKER_HOST, XDG_RUNTIME_DIR, HOME, DOCKER_CONFIG. `transfer` brings images that are files in storage.
    `offers`: what the operator opens, and the network of containers that name none (`host` starts three times as fast as
    `bridge`).
    """

    def __init__(
        self, environ: Mapping[str, str], scope: str, *, transfer: Transfer | None = None, offers: Offers = CLOSED
    ) -> None:
        self._scope, self._offers = scope, offers
        self.connection = Connection(environ)
        stored = StoredImages(transfer, f"{scope}/images") if transfer else None
        self.images = Images(self.connection, environ, stored, f"{scope}/images")
        self._running: dict[AttemptId, _Running] = {}
        self._watches: dict[AttemptId, usage.Watch] = {}
        self._feeds = Feeds()

    async def probe(self) -> Engines:
        """See the port."""
        try:
            _, engine = await self.connection.open()
        except ContainerError as err:
            return Engines(problems=(err.reason,))
        return Engines((engine.kind,), () if engine.limits else (_UNLIMITED.format(engine.kind),))

    async def prepare(self, spec: TaskSpec) -> None:
        """See the port. Many that want one image wait for one pull."""
        parse(spec.container_options, self._offers.allowed)
        await self.images.prepare(spec)

    async def digest(self, spec: TaskSpec) -> str:
        """See the port."""
        return await self.images.digest(spec.container or "")

    async def start(self, order: ContainerOrder) -> float:
        """See the port. That it is there already is rare, so it is found out by making it."""
        async with self.connection.ask("launch") as (docker, engine):
            container = docker.containers.container(request.name(self._scope, order.attempt))
            request.make_room(order)
            made = await self._create(docker, order, Host(engine, self._scope, *self._offers))
            state = None if made else await self._state(container)
            if state is None or state["Status"] == "created":
                self._watch(order, engine)
                await self._feed(container, order)
                await self._launch(container)
            elif order.stdin and not self._feeds.fed(order):
                await gone_is_fine(container.delete(force=True, v=True))
                raise ContainerError("host", "the agent ended while it fed stdin, so the command saw a part of it")
            shown = await described(container)
            self._follow(docker, engine, order.attempt, shown)
            return _instant(shown["State"].get("StartedAt", ""))

    async def wait(self, attempt: AttemptId) -> ContainerEnd:
        """See the port. An engine that restarts meanwhile is waited for."""
        async with self.connection.ask("host") as (docker, engine):
            container = docker.containers.container(request.name(self._scope, attempt))
            if attempt not in self._running:
                shown = await described(container)
                if shown["State"]["Status"] == "created":
                    raise ContainerError("launch", f"the container of {attempt} was made and never started")
                self._follow(docker, engine, attempt, shown)
            used = await self._until_end(container, self._running[attempt].sampled)
            await self._drain(attempt)
            shown = await described(container)
            state, labels = shown["State"], shown["Config"]["Labels"]
            group = _own_group(shown)
            used = used.at_least(usage.of_group(group)) if group else used
            image = await self.images.ran(docker, str(shown["Image"]), str(labels.get(request.IMAGE, "")))
        watch = self._watches.get(attempt)
        killed = (
            bool(state.get("OOMKilled"))
            or (bool(group) and usage.oom(group))
            or (watch is not None and watch.happened())
        )
        return ContainerEnd(
            exit_code=int(state["ExitCode"]),
            oom=killed,
            peak_memory=used.peak_memory,
            cpu_seconds=used.cpu_seconds,
            started_at=min(_instant(state["StartedAt"]), _instant(state["FinishedAt"])),  # noted out of order at times
            ended_at=_instant(state["FinishedAt"]),
            image=image,
        )

    async def signal(self, attempt: AttemptId, signum: int) -> None:
        """See the port."""
        await self._tell(attempt, "kill", signal=str(signum))

    async def pause(self, attempt: AttemptId) -> None:
        """See the port."""
        await self._tell(attempt, "pause")

    async def unpause(self, attempt: AttemptId) -> None:
        """See the port."""
        await self._tell(attempt, "unpause")

    async def stop(self, attempt: AttemptId, grace: float, signum: int = signals.SIGTERM) -> None:
        """See the port. A frozen container is thawed, or it could not hear."""
        await self._tell(attempt, "kill", signal=str(int(signum)))
        await self._tell(attempt, "unpause")
        async with self.connection.ask("host") as (docker, _):
            container = docker.containers.container(request.name(self._scope, attempt))
            try:
                async with asyncio.timeout(grace):
                    await gone_is_fine(container.wait())
            except TimeoutError:
                await self.kill(attempt)

    async def kill(self, attempt: AttemptId) -> None:
        """See the port."""
        await self._tell(attempt, "kill", signal=str(int(signals.SIGKILL)))
        await self._tell(attempt, "unpause")

    async def adopt(self, worker: str) -> tuple[AttemptId, ...]:
        """See the port. Containers that were made and never started are removed: nothing ran in them."""
        filters = {"label": [f"{request.SCOPE}={self._scope}", f"{request.WORKER}={worker}"]}
        try:
            async with self.connection.ask("host") as (docker, _):
                found = await docker.containers.list(all="true", filters=_json(filters))
                held = []
                for container in found:
                    attempt = AttemptId(container["Labels"][request.ATTEMPT])
                    if container["State"] == "created":
                        await self.forget(attempt)
                    else:
                        held.append(attempt)
        except ContainerError as err:
            _log.warning("no-containers-adopted", reason=err.reason)
            return ()
        usage.sweep(request.name(self._scope, ""), [request.name(self._scope, attempt) for attempt in held])
        for attempt in held:
            await self._resume_output(attempt)
        return tuple(held)

    async def forget(self, attempt: AttemptId) -> None:
        """See the port."""
        running = self._running.pop(attempt, None)
        name = request.name(self._scope, attempt)
        async with self.connection.ask("host") as (docker, engine):
            await gone_is_fine(docker.containers.container(name).delete(force=True, v=True))
            if group := usage.parent(name, engine.driver):
                usage.remove(group)
        if watch := self._watches.pop(attempt, None):
            watch.close()
        await self._feeds.end(attempt)
        if running:
            running.output.cancel()
            await asyncio.wait([running.output])

    async def prune(self, keep: Iterable[str]) -> tuple[str, int]:
        """See the port."""
        return await self.images.prune(keep)

    async def close(self) -> None:
        """See the port."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        await self._feeds.close()
        outputs = [running.output for running in self._running.values()]
        self._running.clear()
        for output in outputs:
            output.cancel()
        if outputs:
            await asyncio.wait(outputs)
        await self.connection.close()

    async def _tell(self, attempt: AttemptId, verb: str, **params: str) -> None:
        async with self.connection.ask("host") as (docker, _):
            container = docker.containers.container(request.name(self._scope, attempt))
            await gone_is_fine(getattr(container, verb)(**params))

    async def _state(self, container: Any) -> dict[str, Any] | None:
        shown = await gone_is_fine(described(container))
        return dict(shown["State"]) if shown else None

    # --- the steps ------------------------------------------------------------------------------------------------------

    async def _create(self, docker: "Docker", order: ContainerOrder, host: Host) -> bool:
        """Create, unless it is there already; whether it was made. An image removed since `prepare` is had again."""
        from aiodocker import DockerError

        name, image = request.name(self._scope, order.attempt), order.spec.container or ""
        if is_stored(image) and self.images.name(image) == image:
            await self.prepare(order.spec)  # it was in an earlier life of the agent
        try:
            await create(docker, name, order, host, self.images.name(image))
        except DockerError as err:
            if _is_there(err):
                return False
            if err.status != 404:
                raise
            self.images.forget(image)
            await self.prepare(order.spec)
            await create(docker, name, order, host, self.images.name(image))
        return True

    async def _launch(self, container: Any) -> None:
        """Start; a container that the engine cannot start is not left behind."""
        from aiodocker import DockerError

        try:
            await container.start()
        except DockerError:
            await gone_is_fine(container.delete(force=True, v=True))
            raise

    async def _feed(self, container: Any, order: ContainerOrder) -> None:
        """Connect its stdin, if it has one; a container that cannot be fed is not left behind."""
        try:
            await self._feeds.begin(container, order)
        except BaseException:
            await gone_is_fine(container.delete(force=True, v=True))
            raise

    def _watch(self, order: ContainerOrder, engine: Engine) -> None:
        """Podman does not say (in version 4) that the kernel killed for memory; where its group cannot either, watch it."""
        group = usage.parent(request.name(self._scope, order.attempt), engine.driver)
        wanted = engine.kind == "podman" and order.memory and order.attempt not in self._watches
        if wanted and group and (watch := usage.watch(group, order.memory)):
            self._watches[order.attempt] = watch

    def _follow(self, docker: "Docker", engine: Engine, attempt: AttemptId, shown: Mapping[str, Any]) -> None:
        """Follow the output of the container that the engine shows so, into the files that its labels name."""
        if attempt not in self._running:
            name, ordered = request.name(self._scope, attempt), engine.kind != "podman"
            labels = shown["Config"]["Labels"]
            paths = (labels[request.STDOUT], labels[request.STDERR])
            follower = Capture(docker, name, paths, ordered=ordered, before=request.before(labels))
            sampled = None if _own_group(shown) else str(shown["Id"])
            self._running[attempt] = _Running(follower, capture.task(follower), sampled)

    async def _resume_output(self, attempt: AttemptId) -> None:
        with suppress(ContainerError):
            async with self.connection.ask("host") as (docker, engine):
                shown = await described(docker.containers.container(request.name(self._scope, attempt)))
                self._follow(docker, engine, attempt, shown)

    async def _until_end(self, container: Any, sampled: str | None) -> Used:
        """Wait for the end of a container, reading what it uses meanwhile if `sampled` is its id."""
        used = Used()
        end = asyncio.ensure_future(_ended(container))
        try:
            while not end.done():
                if sampled is not None:
                    used = used.at_least(usage.of_container(sampled))
                await asyncio.wait([end], timeout=None if sampled is None else SAMPLE)
            end.result()
        finally:
            end.cancel()
        return used

    async def _drain(self, attempt: AttemptId) -> None:
        """Have the rest of the output, which the engine sends within moments of the end."""
        running = self._running[attempt]
        done, _ = await asyncio.wait([running.output], timeout=DRAIN)
        if not done:
            running.capture.lost = f"the engine did not end the output within {DRAIN:.0f} s"
            running.output.cancel()
        else:
            await running.capture.rest()
        if running.capture.lost:
            _log.warning("output-incomplete", attempt=attempt, reason=running.capture.lost)


def _own_group(shown: Mapping[str, Any]) -> str:
    """The control group that we made above a container's own, empty if it has none."""
    group = str(shown["HostConfig"].get("CgroupParent", ""))
    return group if group.startswith(f"/{cgroups.PARENT}/") else ""


def _is_there(err: "DockerError") -> bool:
    """Whether the engine refused a name because a container has it: 409, or 500 and these words from Podman 4."""
    return err.status == 409 or (err.status == 500 and "already in use" in str(err))


async def _ended(container: Any) -> None:
    """Until a container has ended; while the engine restarts, ask again for up to a minute."""
    from aiohttp import ClientError

    for left in reversed(range(RESTART)):
        try:
            await container.wait()
            return
        except (ClientError, ConnectionError):
            if not left:
                raise
            await asyncio.sleep(1)


def _instant(text: str) -> float:
    """Unix seconds of the engine's RFC 3339 instant with up to nine decimals; 0 for none."""
    if not text or text.startswith("0001"):
        return 0.0
    whole, _, fraction = text.removesuffix("Z").partition(".")
    zone = "" if "+" in whole[10:] or "-" in whole[10:] else "+00:00"
    digits = fraction[:9] if fraction.isdigit() else "0"
    return datetime.fromisoformat(whole + zone).timestamp() + float(f"0.{digits}")


def _json(filters: Mapping[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(filters).decode()
