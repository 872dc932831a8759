"""Metadata services of three providers as one HTTP server, in their own formats and with their own manners."""

import http.server
import json
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime


class Cloud:
    """What the metadata say; `kind` is azure, openstack or aws. `asked` are (method, path) in order."""

    def __init__(self, kind, machine="w1_0"):
        self.kind, self.machine = kind, machine
        self.events = []  # azure
        self.meta = {}  # openstack
        self.action = None  # aws
        self.asked, self.started = [], []
        self.silent = False
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def azure_event(self, kind, at, machine=None, status="Scheduled", name="A123"):
        """As the documentation of scheduled events shows them; `at` in Unix seconds, None = it has begun."""
        return {
            "EventId": name,
            "EventType": kind,
            "ResourceType": "VirtualMachine",
            "Resources": [machine or self.machine],
            "EventStatus": status,
            "NotBefore": "" if at is None else format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True),
            "Description": "",
            "EventSource": "Platform",
            "DurationInSeconds": -1,
        }

    def answer(self, method, path, headers, body):
        """(status, body) of one request."""
        if self.silent:
            return 503, b""
        return getattr(self, f"_{self.kind}")(method, path, headers, body)

    def _azure(self, method, path, headers, body):
        if headers.get("Metadata") != "true":
            return 400, b'{"error":"Bad request. Required metadata header not specified"}'
        if path == "/metadata/instance/compute/name?api-version=2020-06-01&format=text":
            return 200, self.machine.encode()
        if path != "/metadata/scheduledevents?api-version=2020-07-01":
            return 404, b""
        if method == "POST":
            self.started += [x["EventId"] for x in json.loads(body)["StartRequests"]]
            self.started_at = time.time()
            return 200, b""
        return 200, json.dumps({"DocumentIncarnation": 1, "Events": self.events}).encode()

    def _openstack(self, method, path, headers, body):
        if method != "GET" or path != "/openstack/latest/meta_data.json":
            return 404, b"<html>404 Not Found</html>"
        document = {"uuid": "83679162-1378-4288-a2d4-70e13ec132aa", "name": self.machine, "meta": self.meta}
        return 200, json.dumps(document).encode()

    def _aws(self, method, path, headers, body):
        if (method, path) == ("PUT", "/latest/api/token"):
            return (200, b"TOKEN==") if headers.get("X-aws-ec2-metadata-token-ttl-seconds") else (400, b"")
        if headers.get("X-aws-ec2-metadata-token") != "TOKEN==":
            return 401, b""
        if path == "/latest/meta-data/spot/instance-action" and self.action:
            return 200, json.dumps(self.action).encode()
        return 404, b"<html>404 - Not Found</html>"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def _handler(cloud):
    class Handler(http.server.BaseHTTPRequestHandler):
        def _serve(self):
            length = int(self.headers.get("Content-Length") or 0)
            cloud.asked.append((self.command, self.path))
            status, body = cloud.answer(self.command, self.path, self.headers, self.rfile.read(length))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = _serve

        def log_message(self, *_):
            """Say nothing."""

    return Handler
