"""Where the container engine is, and what to do if it does not answer. What must not enter: talking to it."""

import os
from collections.abc import Mapping


def address(environ: Mapping[str, str]) -> str:
    """Where the engine is: DOCKER_HOST, else the first usual socket that is there; empty if none is."""
    if host := environ.get("DOCKER_HOST", ""):
        return host
    own = environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    usual = ("/var/run/docker.sock", f"{own}/docker.sock", "/run/podman/podman.sock", f"{own}/podman/podman.sock")
    return next((f"unix://{path}" for path in usual if os.path.exists(path)), "")


def unreachable(url: str, err: BaseException) -> str:
    """What is wrong with the engine at `url`, and the fix."""
    if isinstance(err, PermissionError) or "Permission denied" in str(err):
        return f"the container engine at {url} does not let us in: add the agent's user to the group of its socket"
    return f"the container engine at {url} does not answer ({type(err).__name__}): start it, or correct DOCKER_HOST"
