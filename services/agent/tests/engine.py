"""A container engine for tests: the one that runs, else one started here; and an image made without a registry.

Containers and images of tests carry the label or name `longshore-test` and are removed by it.
"""

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .podman import Podman

IMAGE = "longshore-test/busybox:1"
COMMANDS = "sh true false echo sleep cat env id ls mkdir chown dd head tail seq printf kill wc sync tr touch rm ln pwd"
SOCKET = "/var/run/docker.sock"


def answers() -> bool:
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(2)
        return s.connect_ex(SOCKET) == 0


def start_engine(where: Path) -> "subprocess.Popen[bytes] | None":
    """A dockerd of our own if none answers, we are root and it is installed."""
    if answers() or os.geteuid() != 0 or shutil.which("dockerd") is None:
        return None
    log = (where / "dockerd.log").open("wb")
    process = subprocess.Popen(["dockerd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    log.close()
    for _ in range(200):
        if answers() or process.poll() is not None:
            break
        time.sleep(0.1)
    return process


def _static_busybox() -> str:
    for path in ("/bin/busybox", "/usr/bin/busybox"):
        if os.path.exists(path):
            return path
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "busybox-static"], check=False, capture_output=True, timeout=180)
    if os.path.exists("/bin/busybox"):
        return "/bin/busybox"
    pytest.fail("container tests need a static busybox: apt-get install busybox-static")


def make_image() -> None:
    """`docker import` of a tar that holds busybox and nothing else."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in (
            "bin",
            "etc",
            "tmp",
        ):  # those that are only implied are closed, also to a root without capabilities
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(made)
        tar.add(_static_busybox(), "bin/busybox")
        for applet in COMMANDS.split(" "):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in {"etc/passwd": "root:x:0:0:root:/:/bin/sh\n", "etc/group": "root:x:0:\n"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    command = ["docker", "import", "-c", 'ENV PATH="/bin"', "-", IMAGE]
    subprocess.run(command, input=buffer.getvalue(), check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="session")
def engine_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of busybox at an engine that answers; without one the test run says so, and how to have one."""
    process = start_engine(tmp_path_factory.mktemp("dockerd"))
    if not answers():
        pytest.skip(
            "NO CONTAINER ENGINE: install docker.io and run as root, or start dockerd; container tests did not run"
        )
    make_image()
    yield IMAGE
    if process is not None:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def podman(engine_image: str) -> "Iterator[Podman]":
    """Podman as root, with the same image; without it the test run says so."""
    from .podman import Podman, missing

    if why := missing():
        pytest.skip(f"NO PODMAN: {why}; its tests did not run")
    with tempfile.TemporaryDirectory(prefix="longshore-podman-", ignore_cleanup_errors=True) as short:  # it wants so
        served = Podman(Path(short))
        try:
            served.have_image()
            yield served
        finally:
            served.stop()


@contextmanager
def own_dockerd(path: str) -> "Iterator[str]":
    """A dockerd with this directory first in its PATH, and all it has below one of its own; its address.

    It has a network of its own as well: one without a bridge removes docker0, which is the other engine's.
    """
    with tempfile.TemporaryDirectory(prefix="longshore-dockerd-", ignore_cleanup_errors=True) as root:
        address = f"unix://{root}/docker.sock"
        words = [
            "--host",
            address,
            "--data-root",
            f"{root}/data",
            "--exec-root",
            f"{root}/exec",
            "--pidfile",
            f"{root}/pid",
        ]
        words += [
            "--bridge",
            "none",
            "--iptables=false",
            "--storage-driver",
            "vfs",
            "--cgroup-parent",
            "/longshore-test",
        ]
        with open(f"{root}/log", "wb") as log:
            process = subprocess.Popen(
                ["unshare", "--net", "dockerd", *words],
                stdout=log,
                stderr=log,
                env={**os.environ, "PATH": f"{path}:{os.environ['PATH']}"},
            )
        try:
            for _ in range(200):
                with socket.socket(socket.AF_UNIX) as s:
                    if s.connect_ex(f"{root}/docker.sock") == 0:
                        break
                assert process.poll() is None, Path(f"{root}/log").read_text()[-2000:]
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()
            process.wait(30)
