"""One container engine, Docker or Podman, at one socket: the `ContainerEngine` of `core.ports`.

Every container is found again by its name, so nothing here must be remembered over a restart of the agent. What must
not enter: staging, slots, time limits of tasks.
"""

import asyncio
import signal as signals
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from longshore_agent.adapters import cgroups
from longshore_agent.adapters.cgroups import Used
from longshore_agent.adapters.containers import capture, request, usage
from longshore_agent.adapters.containers.address import address, unreachable
from longshore_agent.adapters.containers.capture import Capture
from longshore_agent.adapters.containers.options import parse
from longshore_agent.adapters.containers.request import Host
from longshore_agent.core.ports import ContainerEnd, ContainerError, ContainerOrder, Engines
from longshore_common.ids import AttemptId
from longshore_common.model import Cause, TaskSpec

if TYPE_CHECKING:
    from aiodocker import Docker

#: Seconds: to find out whether an engine answers, for one request, for the rest of the output, for a pull.
PROBE: Final = 2.0
REQUEST: Final = 120.0
DRAIN: Final = 30.0
PULL: Final = 3600.0
#: Seconds between two readings of memory and CPU, where they must be read while a container runs.
SAMPLE: Final = 0.5
#: Times, a second apart, that an engine which broke off is asked again for the end of a container.
RESTART: Final = 60

_log = structlog.get_logger()


class _Running(NamedTuple):
    """What we hold of a container that we started or adopted."""

    capture: Capture
    output: "asyncio.Task[Any]"


class DockerEngine:
    """See the port. `scope` tells this agent's containers from all others at the engine: its work directory will do.

    `environ`: DOCKER_HOST, XDG_RUNTIME_DIR. `volumes`: host folders that tasks may mount read-only by `-v`. `network`:
    of containers that name none; `host` starts three times as fast as `bridge`.
    """

    def __init__(
        self, environ: Mapping[str, str], scope: str, *, volumes: Sequence[str] = (), network: str = "bridge"
    ) -> None:
        self._environ, self._scope, self._volumes, self._network = environ, scope, volumes, network
        self._docker: Docker | None = None
        self._host: Host | None = None
        self._running: dict[AttemptId, _Running] = {}
        self._images: set[str] = set()
        self._pulls: dict[str, asyncio.Lock] = {}
        self._opening = asyncio.Lock()

    async def probe(self) -> Engines:
        """See the port."""
        try:
            async with asyncio.timeout(PROBE):
                _, host = await self._open()
        except TimeoutError:
            return Engines(problems=(f"the container engine does not answer within {PROBE:.0f} s: restart it",))
        except ContainerError as err:
            return Engines(problems=(err.reason,))
        return Engines(names=(host.kind,))

    async def prepare(self, spec: TaskSpec) -> None:
        """See the port. Many that want one image wait for one pull."""
        image = spec.container or ""
        parse(spec.container_options, self._volumes)
        if image in self._images:
            return
        async with self._pulls.setdefault(image, asyncio.Lock()):
            if image not in self._images:
                await self._pull(image)
                self._images.add(image)

    async def start(self, order: ContainerOrder) -> float:
        """See the port."""
        async with self._ask("launch") as (docker, host):
            container = docker.containers.container(request.name(self._scope, order.attempt))
            state = await self._state(container)
            if state is None:
                request.make_room(order)
                await self._create(docker, order, request.config(order, host))
            if state is None or state["Status"] == "created":
                await self._launch(container)
                state = await self._state(container) or {}
            self._follow(docker, order.attempt, order.stdout, order.stderr)
            return _instant(state.get("StartedAt", ""))

    async def wait(self, attempt: AttemptId) -> ContainerEnd:
        """See the port. An engine that restarts meanwhile is waited for."""
        async with self._ask("host") as (docker, _):
            container = docker.containers.container(request.name(self._scope, attempt))
            shown = await container.show()
            if shown["State"]["Status"] == "created":
                raise ContainerError("launch", f"the container of {attempt} was made and never started")
            labels = shown["Config"]["Labels"]
            self._follow(docker, attempt, labels[request.STDOUT], labels[request.STDERR])
            group = shown["HostConfig"].get("CgroupParent", "")
            ours = group.startswith(f"/{cgroups.PARENT}/")
            used = await self._until_end(container, None if ours else str(shown["Id"]))
            await self._drain(attempt)
            state = (await container.show())["State"]
            used = used.at_least(usage.of_group(group)) if ours else used
        return ContainerEnd(
            exit_code=int(state["ExitCode"]),
            oom=bool(state.get("OOMKilled")),
            peak_memory=used.peak_memory,
            cpu_seconds=used.cpu_seconds,
            started_at=min(_instant(state["StartedAt"]), _instant(state["FinishedAt"])),  # noted out of order at times
            ended_at=_instant(state["FinishedAt"]),
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
        async with self._ask("host") as (docker, _):
            container = docker.containers.container(request.name(self._scope, attempt))
            try:
                async with asyncio.timeout(grace):
                    await self._gone_is_fine(container.wait())
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
            async with self._ask("host") as (docker, _):
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
        async with self._ask("host") as (docker, host):
            await self._gone_is_fine(docker.containers.container(name).delete(force=True, v=True))
            if group := usage.parent(name, host.driver):
                usage.remove(group)
        if running:
            running.output.cancel()
            await asyncio.wait([running.output])

    async def close(self) -> None:
        """See the port."""
        outputs = [running.output for running in self._running.values()]
        self._running.clear()
        for output in outputs:
            output.cancel()
        if outputs:
            await asyncio.wait(outputs)
        if self._docker is not None:
            await self._docker.close()
            self._docker = self._host = None

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _open(self) -> "tuple[Docker, Host]":
        """The connection, made at the first use and again after the engine was missing. `ContainerError` (host)."""
        async with self._opening:
            if self._docker is None or self._host is None:
                self._docker, self._host = await self._connect()
            return self._docker, self._host

    async def _connect(self) -> "tuple[Docker, Host]":
        from aiodocker import Docker, DockerError
        from aiohttp import ClientError, ClientTimeout

        url = address(self._environ)
        if not url:
            raise ContainerError(
                "host", "no container engine: start Docker or Podman on this host, or set DOCKER_HOST for the agent"
            )
        docker = Docker(url=url, timeout=ClientTimeout(total=REQUEST, sock_connect=PROBE))
        try:
            version = await docker.version()
            info = await docker.system.info()
        except BaseException as err:
            await docker.close()
            if isinstance(err, (DockerError, ClientError, OSError, TimeoutError, ValueError)):
                raise ContainerError("host", unreachable(url, err)) from err
            raise
        podman = any("podman" in c.get("Name", "").lower() for c in version.get("Components") or ())
        rootless = "name=rootless" in (info.get("SecurityOptions") or ())
        driver = info.get("CgroupDriver", "") if url.startswith("unix:") else "far away"
        host = Host("podman" if podman else "docker", driver, rootless, self._scope, self._volumes, self._network)
        return docker, host

    @asynccontextmanager
    async def _ask(self, cause: Cause) -> "AsyncIterator[tuple[Docker, Host]]":
        """The connection; what the engine refuses inside becomes a `ContainerError` of `cause`, silence one of `host`."""
        from aiodocker import DockerError
        from aiohttp import ClientError

        opened = await self._open()
        try:
            yield opened
        except DockerError as err:
            raise ContainerError(cause, f"the container engine refused: {err.message}") from err
        except (ClientError, TimeoutError, ConnectionError) as err:
            raise ContainerError("host", f"the container engine is away: {type(err).__name__} {err}") from err

    async def _gone_is_fine(self, call: Any) -> Any:
        """The answer of `call`, None if the container is gone, not running, or being removed."""
        from aiodocker import DockerError

        try:
            return await call
        except DockerError as err:
            if err.status in (304, 404, 409) or "not paused" in err.message or "not running" in err.message:
                return None
            raise

    async def _tell(self, attempt: AttemptId, verb: str, **params: str) -> None:
        async with self._ask("host") as (docker, _):
            container = docker.containers.container(request.name(self._scope, attempt))
            await self._gone_is_fine(getattr(container, verb)(**params))

    async def _state(self, container: Any) -> dict[str, Any] | None:
        shown = await self._gone_is_fine(container.show())
        return dict(shown["State"]) if shown else None

    # --- the steps ------------------------------------------------------------------------------------------------------

    async def _pull(self, image: str) -> None:
        from aiodocker import DockerError

        async with self._ask("image") as (docker, _):
            try:
                known = await docker.images.inspect(image)
            except DockerError as err:
                if err.status != 404:
                    raise
                known = await self._fetch(docker, image)
            _log.info("image-ready", image=image, digest=_digest(known))

    async def _fetch(self, docker: "Docker", image: str) -> dict[str, Any]:
        """Pull; `ContainerError` (image) with the registry's words."""
        from aiodocker import DockerError

        try:
            async with asyncio.timeout(PULL):
                await docker.images.pull(image)
                return await docker.images.inspect(image)
        except DockerError as err:
            raise ContainerError(
                "image", f"the image {image!r} is not on this host and cannot be pulled: {err.message}"
            ) from err
        except TimeoutError as err:
            raise ContainerError("image", f"the image {image!r} was not pulled within {PULL:.0f} s") from err

    async def _create(self, docker: "Docker", order: ContainerOrder, config: dict[str, Any]) -> None:
        """Create; an image that was removed since `prepare` is pulled again."""
        from aiodocker import DockerError

        name = request.name(self._scope, order.attempt)
        try:
            await docker.containers.create(config, name=name)
        except DockerError as err:
            if err.status != 404:
                raise
            self._images.discard(order.spec.container or "")
            await self.prepare(order.spec)
            await docker.containers.create(config, name=name)

    async def _launch(self, container: Any) -> None:
        """Start; a container that the engine cannot start is not left behind."""
        from aiodocker import DockerError

        try:
            await container.start()
        except DockerError:
            await self._gone_is_fine(container.delete(force=True, v=True))
            raise

    def _follow(self, docker: "Docker", attempt: AttemptId, stdout: str, stderr: str) -> None:
        if attempt not in self._running:
            follower = Capture(docker, request.name(self._scope, attempt), stdout, stderr)
            self._running[attempt] = _Running(follower, capture.task(follower))

    async def _resume_output(self, attempt: AttemptId) -> None:
        with suppress(ContainerError):
            async with self._ask("host") as (docker, _):
                shown = await docker.containers.container(request.name(self._scope, attempt)).show()
                labels = shown["Config"]["Labels"]
                self._follow(docker, attempt, labels[request.STDOUT], labels[request.STDERR])

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


def _digest(image: Mapping[str, Any]) -> str:
    digests = image.get("RepoDigests") or [image.get("Id", "")]
    return str(digests[0])


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
