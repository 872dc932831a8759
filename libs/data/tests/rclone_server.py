"""`rclone serve s3` over a directory: a real S3 server that checks signatures."""

import socket
import subprocess
import sys
import time
from pathlib import Path

ACCESS, SECRET = "longshoretest", "longshoresecret"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class S3Server:
    """One server process. `environ` is what a client needs to talk to it."""

    def __init__(self, root: Path) -> None:
        self.root, self.port, self.secret = root, free_port(), SECRET
        self.process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> None:
        (self.root / name).mkdir(exist_ok=True)

    def start(self) -> "S3Server":
        command = [
            str(Path(sys.executable).parent / "rclone"), "serve", "s3", "--addr", f"127.0.0.1:{self.port}",
            "--auth-key", f"{ACCESS},{self.secret}", "--config", "/dev/null", "--vfs-cache-mode", "off", str(self.root),
        ]  # fmt: skip
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, "rclone did not start"
            assert time.monotonic() < deadline, "rclone does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
