"""A tiny HTTP server that speaks the api's contract, and a profile that leads to it."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from longshore_common.profile import Profile


class Reply(NamedTuple):
    status: int = 200
    body: Any = None
    headers: dict[str, str] = {}
    close: bool = False


class Api:
    """Answers by route; remembers what was asked."""

    def __init__(self) -> None:
        self.routes: dict[str, Callable[[dict[str, str]], Reply | Any]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        api = self

        class Speaker(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                api.connections += 1
                super().setup()

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                path = url.path.removeprefix("/api/v1")
                api.asked.append((path, query))
                route = api.routes.get(path)
                missing = Reply(404, {"title": "Not Found", "detail": f"nothing at {path}", "status": 404})
                found = route(query) if route else missing
                reply = found if isinstance(found, Reply) else Reply(body=found)
                data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(data)))
                for key, value in reply.headers.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = reply.close  # without saying so: as a server that restarts

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Speaker)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    yield server
    server.close()


@pytest.fixture
def profile(tmp_path, api) -> Profile:
    token = tmp_path / "token"
    token.write_text("secret\n")
    return Profile(user="ada", nats_url="nats://127.0.0.1:1", nats_creds="", api_url=api.url, api_token_file=str(token))


@pytest.fixture
def reply() -> type[Reply]:
    return Reply
