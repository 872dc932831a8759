"""Podman for tests: its API at a socket of our own, as root or as another user, with its own storage.

Where the machine withholds CAP_SYS_RESOURCE, Podman's wish to raise limits fails; a runtime that leaves those out stands
between them. Everything lives below one directory and ends with the fixture.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .engine import IMAGE

_RUNTIME = """#!/usr/bin/python3
import json, os, sys
words = sys.argv
for name, bundle in zip(words, words[1:]):
    if "create" in words and name in ("--bundle", "-b"):
        with open(bundle + "/config.json") as file:
            config = json.load(file)
        config["process"].pop("rlimits", None)
        config["process"].pop("oomScoreAdj", None)
        with open(bundle + "/config.json", "w") as file:
            json.dump(config, file)
os.execv("{runc}", ["runc", *words[1:]])
"""
_CONFIG = '[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'


def missing() -> str:
    """What keeps Podman from running here, empty if nothing does."""
    lacks = [program for program in ("podman", "runc", "conmon") if shutil.which(program) is None]
    if lacks:
        return f"{' and '.join(lacks)} not installed: apt-get install podman runc conmon"
    return "" if os.geteuid() == 0 else "only root starts it in these tests"


class Podman:
    """A service below `root`; `user` empty: as root."""

    def __init__(self, root: Path, user: str = "") -> None:
        self.root, self.user = root, user
        self.socket = root / "podman.sock"
        runtime = root / "runtime"
        runtime.write_text(_RUNTIME.format(runc=shutil.which("runc")))
        runtime.chmod(0o755)
        (root / "containers.conf").write_text(_CONFIG)
        (root / "run").mkdir()
        self.environ = {
            "PATH": os.environ["PATH"], "HOME": str(root), "XDG_RUNTIME_DIR": str(root / "run"),
            "CONTAINERS_CONF": str(root / "containers.conf"),
        }  # fmt: skip
        self.words = [
            *(["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if user else []),
            "podman", "--runtime", str(runtime), "--root", str(root / "storage"), "--runroot", str(root / "run/c"),
            "--storage-driver", "overlay",
        ]  # fmt: skip
        if user:
            subprocess.run(["chown", "-R", user, str(root)], check=True, timeout=20)
        log = (root / "log").open("wb")
        service = [*self.words, "system", "service", "-t", "0", f"unix://{self.socket}"]
        self.process = subprocess.Popen(
            service,
            env=self.environ,
            cwd=root,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        log.close()
        self._await()

    def _await(self) -> None:
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as s:
                if s.connect_ex(str(self.socket)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise AssertionError(f"podman does not serve: {(self.root / 'log').read_text()[-2000:]}")

    def run(self, *words: str, data: bytes | None = None) -> str:
        """One command of podman's own."""
        done = subprocess.run(
            [*self.words, *words],
            input=data,
            env=self.environ,
            cwd=self.root,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def have_image(self) -> None:
        """The image of the tests, from docker."""
        self.run(
            "load", data=subprocess.run(["docker", "save", IMAGE], check=True, capture_output=True, timeout=60).stdout
        )

    def rootless(self) -> bool:
        """Whether it says that it is."""
        return bool(json.loads(self.run("info", "--format", "{{json .Host.Security.Rootless}}")))

    def stop(self) -> None:
        """End the service and all it holds."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(20)
        for mount in [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]:
            if mount.startswith(str(self.root)):
                subprocess.run(["umount", "-l", mount], check=False, capture_output=True, timeout=10)
