"""The connection to one container engine, and what its refusals and silence mean.

What must not enter: what is asked of the engine.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from longshore_agent.adapters.containers.address import address, unreachable
from longshore_agent.core.ports import ContainerError
from longshore_common.model import Cause

if TYPE_CHECKING:
    from aiodocker import Docker
    from aiodocker.containers import DockerContainer

#: Seconds: to find out whether an engine answers, for what it says of itself (Podman looks around first), for one request.
PROBE: Final = 2.0
FACTS: Final = 15.0
REQUEST: Final = 120.0
#: Podman 4 reads the processes of a container while it describes it, and fails (500) with these words if they end meanwhile.
_ENDING: Final = "no such process"
#: How often such a description is asked for, and the seconds between.
_TRIES: Final = 20
_PAUSE: Final = 0.05
#: How engines word what `gone_is_fine` passes over; Podman does so with status 500.
_GONE: Final = ("not paused", "not running", "no such container", "container state improper")


class Engine(NamedTuple):
    """Who answers. `kind`: docker or podman. `driver`: of cgroups, empty where those are not for us to see or make: the
    engine is not on this host, or another user's.

    `rootless`: root inside is the engine's user outside. `limits`: whether limits of memory and CPUs hold.
    """

    kind: str
    version: str
    driver: str
    rootless: bool
    limits: bool = True


class Connection:
    """Made at the first use and again after the engine was missing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._opened: tuple[Docker, Engine] | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> "tuple[Docker, Engine]":
        """`ContainerError` (host) if nobody answers."""
        async with self._opening:
            if self._opened is None:
                self._opened = await self._connect()
            return self._opened

    @asynccontextmanager
    async def ask(self, cause: Cause) -> "AsyncIterator[tuple[Docker, Engine]]":
        """The connection; what the engine refuses inside becomes a `ContainerError` of `cause`, silence one of `host`."""
        from aiodocker import DockerError
        from aiohttp import ClientError

        opened = await self.open()
        try:
            yield opened
        except DockerError as err:
            raise ContainerError(cause, f"the container engine refused: {err.message}") from err
        except (ClientError, TimeoutError, ConnectionError) as err:
            raise ContainerError("host", f"the container engine is away: {type(err).__name__} {err}") from err

    async def close(self) -> None:
        """Let go of it; the next use opens it again."""
        if self._opened is not None:
            await self._opened[0].close()
            self._opened = None

    async def _connect(self) -> "tuple[Docker, Engine]":
        from aiodocker import Docker, DockerError
        from aiohttp import ClientError, ClientTimeout

        url = address(self._environ)
        if not url:
            raise ContainerError(
                "host", "no container engine: start Docker or Podman on this host, or set DOCKER_HOST for the agent"
            )
        docker = Docker(url=url, timeout=ClientTimeout(total=REQUEST, sock_connect=PROBE))
        try:
            async with asyncio.timeout(PROBE), docker._query("_ping", versioned_api=False):
                pass
            async with asyncio.timeout(FACTS):
                version = await docker._query_json("version", versioned_api=False)
                docker.api_version = f"v{version['ApiVersion']}"  # or it would be asked for again
                info = await docker.system.info()
        except BaseException as err:
            await docker.close()
            if isinstance(err, (DockerError, ClientError, OSError, TimeoutError, ValueError, KeyError)):
                raise ContainerError("host", unreachable(url, err)) from err
            raise
        podman = any("podman" in c.get("Name", "").lower() for c in version.get("Components") or ())
        marked = any(word.startswith("name=rootless") for word in info.get("SecurityOptions") or ())
        rootless = marked or bool(info.get("Rootless"))  # as Docker says it, and as Podman does
        ours = url.startswith("unix:") and not rootless
        driver = info.get("CgroupDriver", "") if ours else ""
        limits = not (rootless and str(info.get("CgroupVersion", "2")) == "1")
        kind = "podman" if podman else "docker"
        return docker, Engine(kind, str(version.get("Version", "")), driver, rootless, limits)


async def gone_is_fine(call: Any) -> Any:
    """The answer of `call`, None if the container is gone, not running, or being removed."""
    from aiodocker import DockerError

    try:
        return await call
    except DockerError as err:
        words = err.message.lower()
        if err.status in (304, 404, 409) or any(w in words for w in _GONE):
            return None
        raise


async def described(container: "DockerContainer") -> dict[str, Any]:
    """What the engine says of `container`; a container that ends while Podman describes it is asked for again."""
    from aiodocker import DockerError

    for left in reversed(range(_TRIES)):
        try:
            return dict(await container.show())
        except DockerError as err:
            if err.status != 500 or _ENDING not in err.message.lower() or not left:
                raise
        await asyncio.sleep(_PAUSE)
    raise AssertionError("unreachable")
