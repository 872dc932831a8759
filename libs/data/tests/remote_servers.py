"""Real servers behind remotes: sftp and webdav by rclone, sftp by asyncssh, Azure's blobs by Azurite.

Passwords reach them by environment or memory, never by argument, so that a test can look for them there.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import asyncssh

from longshore_data.remotes import Remotes

from .rclone_server import free_port

PASSWORD = f"Pa55-of-test-{os.getpid()}"  # other runs on this host have others
RCLONE = str(Path(sys.executable).parent / "rclone")
QUIET = subprocess.DEVNULL


def obscured(password: str) -> str:
    """As rclone keeps passwords in its configuration: hidden from a glance, no more."""
    done = subprocess.run([RCLONE, "obscure", "-"], input=password, text=True, capture_output=True, check=True)
    return done.stdout.strip()


class Served:
    """`rclone serve KIND` of a folder, as a process."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self.root, self.port = kind, root, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    async def start(self) -> "Served":
        command = [RCLONE, "serve", self.kind, "--addr", f"127.0.0.1:{self.port}", str(self.root)]
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(self.root.parent), "RCLONE_CONFIG": os.devnull,
            "RCLONE_CACHE_DIR": f"{self.root.parent}/far-cache", "RCLONE_USER": "u",
            "RCLONE_PASS": PASSWORD,
        }  # fmt: skip
        self.process = subprocess.Popen(command, env=environ, stdin=QUIET, stdout=QUIET, stderr=QUIET)
        await answering(self.port, self.process)
        return self

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def section(self, password: str = PASSWORD) -> dict[str, str]:
        if self.kind == "webdav":
            url = f"http://127.0.0.1:{self.port}"
            return {"type": "webdav", "url": url, "vendor": "other", "user": "u", "pass": obscured(password)}
        return sftp_section(self.port, password)


class Ssh:
    """asyncssh's sftp server, here."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        root.mkdir(parents=True, exist_ok=True)

    async def start(self) -> "Ssh":
        class Door(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return (username, password) == ("u", PASSWORD)

        self._acceptor = await asyncssh.create_server(
            Door, "127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self.root)),
        )  # fmt: skip
        self.port = self._acceptor.get_port()
        return self

    async def stop(self) -> None:
        self._acceptor.close()
        await self._acceptor.wait_closed()

    def section(self, password: str = PASSWORD) -> dict[str, str]:
        return sftp_section(self.port, password)


class Azurite:
    """Microsoft's emulator of Azure's blobs, from npm; `LONGSHORE_AZURITE` says where it is installed."""

    KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    async def start(self) -> "Azurite":
        script = Path(os.environ["LONGSHORE_AZURITE"]) / "node_modules/azurite/dist/src/blob/main.js"
        node = shutil.which("node")
        assert node is not None
        assert script.is_file(), f"no Azurite at {script}"
        self.process = subprocess.Popen(
            [node, str(script), "--silent", "--skipApiVersionCheck", "--disableTelemetry", "--location", str(self.root),
             "--blobPort", str(self.port)], stdin=QUIET, stdout=QUIET, stderr=QUIET, cwd=self.root,
        )  # fmt: skip
        await answering(self.port, self.process)
        return self

    async def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def section(self, key: str = KEY) -> dict[str, str]:
        endpoint = f"http://127.0.0.1:{self.port}/devstoreaccount1"
        return {"type": "azureblob", "account": "devstoreaccount1", "key": key, "endpoint": endpoint}


def sftp_section(port: int, password: str) -> dict[str, str]:
    return {
        "type": "sftp", "host": "127.0.0.1", "port": str(port), "user": "u", "pass": obscured(password),
        "shell_type": "none", "known_hosts_file": "none",
    }  # fmt: skip


async def answering(port: int, process: "subprocess.Popen[bytes]", seconds: float = 30) -> None:
    """Wait until somebody listens there."""
    async with asyncio.timeout(seconds):
        while True:
            assert process.poll() is None, "the server did not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return


def remotes(**sections: dict[str, str]) -> Remotes:
    return Remotes(sections)
