"""Real S3 servers for tests: `rclone serve s3` (checks signatures) and moto (answers ranges with 206)."""

import socket
import subprocess
import sys
from pathlib import Path

ACCESS, SECRET = "longshoretest", "longshoresecret"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    """A server process; `environ` is what an agent needs to talk to it."""

    def __init__(self, kind: str, root: Path) -> None:
        self.kind, self.root, self.port = kind, root, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }

    def start(self) -> "Server":
        tools = Path(sys.executable).parent
        command = {
            "rclone": [
                str(tools / "rclone"), "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key",
                f"{ACCESS},{SECRET}", "--config", "/dev/null", "--vfs-cache-mode", "off", str(self.root),
            ],
            "moto": [str(tools / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)],
        }[self.kind]  # fmt: skip
        log = (self.root.parent / f"{self.kind}-{self.port}.log").open("ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        self._await_port()
        return self

    def _await_port(self) -> None:
        for _ in range(600):
            with socket.socket() as s:
                s.settimeout(0.5)
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process is not None
            assert self.process.poll() is None, f"{self.kind} did not start"
            try:
                self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        raise AssertionError(f"{self.kind} does not answer on port {self.port}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
