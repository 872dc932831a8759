"""Containers: the `ContainerEngine` port over the Docker API, which Docker and Podman speak.

What must not enter: staging, the journal, bare processes. `aiodocker` is imported at the first use.
"""

from longshore_agent.adapters.containers.engine import DockerEngine, Offers
from longshore_agent.adapters.containers.options import permissions

__all__ = ["DockerEngine", "Offers", "permissions"]
