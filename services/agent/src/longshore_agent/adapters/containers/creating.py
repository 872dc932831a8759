"""Makes the container of an attempt, with the secrets that it names, if any, as variables of its command.

What must not enter: the life of containers, values of secrets.
"""

from typing import TYPE_CHECKING, Any

from longshore_agent.adapters.containers import request
from longshore_agent.adapters.containers.connection import gone_is_fine
from longshore_agent.adapters.containers.request import Host
from longshore_agent.core.ports import ContainerOrder

if TYPE_CHECKING:
    from aiodocker import Docker


async def create(docker: "Docker", name: str, order: ContainerOrder, host: Host, image: str) -> None:
    """Make it; `DockerError` as the engine says. In an image without a shell secrets are files and no variables."""
    body = request.config(order, host, image)
    if not order.secrets:
        await docker.containers.create(body, name=name)
        return
    known: dict[str, Any] = dict(await docker.images.inspect(image))
    entrypoint = (known.get("Config") or {}).get("Entrypoint") or ()
    await docker.containers.create(request.with_secrets(body, entrypoint), name=name)
    if not await _has_shell(docker, name):
        await gone_is_fine(docker.containers.container(name).delete(force=True, v=True))
        await docker.containers.create(body, name=name)


async def _has_shell(docker: "Docker", name: str) -> bool:
    """Whether there is a shell in the container."""
    from aiodocker import DockerError

    try:
        async with docker._query(f"containers/{name}/archive", method="HEAD", params={"path": request.SHELL}):
            return True
    except DockerError as err:
        if err.status != 404:
            raise
        return False
    except ValueError:  # an error without a body, for none follows a HEAD: aiodocker looks for JSON in it
        return False
