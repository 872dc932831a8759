"""A secret from the command line to tasks and back, on a whole stack; and nowhere on the way can it be read."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .stacks import place_for

pytestmark = pytest.mark.slow

TOOLS = Path(sys.executable).parent
VALUE = "Pa55-of-the-test with 'quotes' and ümlaut"
NEEDLES = (b"Pa55-of-the-test", b"UGE1NS1vZi10aGUtdGVzd")  # itself, and in base64


@pytest.fixture(scope="module")
def root():
    with place_for("secrets") as made:
        yield made


@pytest.fixture(scope="module")
def longshore(root):
    """A command line on a stack of its own, with one worker."""

    def say(*words, within=60, ok=True, stdin=b"", **more):
        environ = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        environ |= {"LONGSHORE_STATE_DIR": str(root / "stack"), "HOME": str(root)}
        environ |= {"LONGSHORE_WEBHOOK_ALLOW": "127.0.0.0/8", **more}
        done = subprocess.run(
            [TOOLS / "longshore", *words], env=environ, input=stdin, capture_output=True, timeout=within, check=False
        )
        assert done.returncode == 0 or not ok, done
        return done

    say("up", "--detach", "--workers", "1", "--concurrency", "2", within=180)
    yield say
    say("down", within=120, ok=False)


def nowhere(root, *besides):
    """Neither in a file of the stack, nor in a command line."""
    for path in (root / "stack").rglob("*"):
        if path.is_file() and not path.is_symlink() and not any(part in str(path) for part in besides):
            try:
                data = path.read_bytes()
            except OSError:
                continue
            assert not any(needle in data for needle in NEEDLES), path
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        assert not any(needle in line for needle in NEEDLES), line


def test_from_secret_set_to_a_task_that_reads_it_and_nobody_else_can(longshore, root):
    value = root / "value"
    value.write_text(VALUE + "\n")
    done = longshore("secret", "set", "TOKEN", "--from-file", str(value))
    assert done.stdout.decode() == "local-1\n"
    value.unlink()
    (one,) = map(json.loads, longshore("secret", "list", "--json").stdout.splitlines())
    assert (one["name"], one["given"], one["hold"]) == ("TOKEN", ["local-1"], ["local-1"])
    flag = root / "runs"
    digest = (
        subprocess.run(["sha256sum"], input=VALUE.encode(), capture_output=True, check=True).stdout.split()[0].decode()
    )
    assert longshore("secret", "list").stdout.split(b"\t")[:3] == [b"TOKEN", b"1 of 1", b"-"]
    script = f'printf %s "$TOKEN" | sha256sum; touch {flag}; while [ -e {flag} ]; do sleep 0.05; done'
    task = longshore("submit", "-q", "--secret", "TOKEN", "--shell", "--", script).stdout.decode().strip()
    end = time.monotonic() + 60
    while not flag.exists():
        assert time.monotonic() < end, longshore("explain", task, ok=False)
        time.sleep(0.05)
    nowhere(root)
    flag.unlink()
    longshore("wait", task)
    assert longshore("task", "logs", task).stdout.decode().split()[0] == digest
    for words in (
        ("task", "show", task),
        ("history", task),
        ("history", "local-1"),
        ("worker", "show", "local-1"),
    ):
        said = longshore(*words, ok=False)
        assert not any(needle in said.stdout + said.stderr for needle in NEEDLES), words


def test_a_secret_that_is_not_there_is_refused_with_the_command_that_makes_it(longshore):
    refused = longshore("submit", "--wait", "--secret", "NOT_THERE", "--", "true", ok=False)
    assert refused.returncode == 1, refused
    assert b"longshore secret set NOT_THERE" in refused.stderr


def test_the_sdk_sets_a_secret_of_several_variables_lists_and_deletes_it(longshore, root):
    import longshore as sdk

    with sdk.Client(root / "stack") as client:
        client.set_secret("PAIR", {"PAIR_USER": "ada", "PAIR_WORD": "x y"})
        receipt = client.submit('test "$PAIR_USER $PAIR_WORD" = "ada x y"', secrets=["PAIR"])
        assert client.wait(receipt, timeout=60).ok
        assert [one.hold for one in client.secrets() if one.name == "PAIR"] == [("local-1",)]
        client.delete_secret("PAIR")
        assert "PAIR" not in [one.name for one in client.secrets()]


def test_share_gives_it_only_to_those_that_lack_it_and_delete_takes_it_from_all(longshore):
    again = longshore("secret", "share", "TOKEN", "-", stdin=b"x")
    assert b"all workers hold TOKEN" in again.stderr
    assert longshore("secret", "set", "OVER_HTTP", "-", stdin=b"x", LONGSHORE_HTTP="1").stdout == b"local-1\n"
    longshore("secret", "delete", "OVER_HTTP", LONGSHORE_HTTP="1")
    longshore("secret", "delete", "TOKEN")
    assert longshore("secret", "list", "--json").stdout == b""
    gone = longshore("secret", "delete", "TOKEN", ok=False)
    assert gone.returncode == 1
    assert b"has no secret TOKEN" in gone.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("secret", "set", "TOKEN", "value"), 2, b"command line"),
        (("secret", "set", "no-name", "-"), 2, b"can name no secret"),
        (("secret", "set", "TOKEN"), 2, b"nobody to ask"),
        (("secret", "set", "TOKEN", "--from-file", "/no/such/file"), 2, b"cannot be read"),
        (("secret", "s3", "KEYS", "--prefix", "file:///tmp/"), 2, b"no place in S3"),
        (("notify", "add", "--on", "budget", "--webhook", "https://example.org/"), 2, b"budget"),
        (("notify", "add", "--on", "finished", "--webhook", "http://10.0.0.1/"), 2, b"no public address"),
        (("notify", "add", "--on", "finished", "--mail", "a@example.org"), 1, b"LONGSHORE_SMTP_URL"),
    ],
)
def test_misuse_names_the_fix(longshore, words, code, said):
    done = longshore(*words, ok=False, stdin=b"x")
    assert (done.returncode, said in done.stderr) == (code, True), done


@pytest.fixture(scope="module")
def store():
    """A server of S3 and STS, with a bucket and an object in it; the keys of its owner."""
    from botocore.session import get_session

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([TOOLS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=quiet, stderr=quiet)
    end = time.monotonic() + 60
    while True:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() < end
        time.sleep(0.05)
    keys = {"AWS_ACCESS_KEY_ID": "AKIAOWN", "AWS_SECRET_ACCESS_KEY": "Pa55-of-the-test", "AWS_REGION": "us-east-1"}
    url = f"http://127.0.0.1:{port}"
    own = {"aws_access_key_id": "AKIAOWN", "aws_secret_access_key": "Pa55-of-the-test", "region_name": "us-east-1"}
    s3 = get_session().create_client("s3", endpoint_url=url, **own)
    s3.create_bucket(Bucket="lab")
    s3.put_object(Bucket="lab", Key="in.txt", Body=b"from afar")
    yield url, keys, s3
    process.kill()
    process.wait(10)


def test_temporary_credentials_open_storage_to_tasks_and_the_owners_own_stay_at_home(longshore, root, store):
    url, keys, s3 = store
    made = longshore("secret", "s3", "LAB", "--endpoint", url, "--prefix", "s3://lab/", "--for", "1h", **keys)
    assert made.stdout == b"local-1\n"
    command = ("--shell", 'tr a-z A-Z <"$INPUT/in.txt" >"$OUTPUT/o.txt"; test "$AWS_ENDPOINT_URL" = ' + url)
    longshore("submit", "--wait", "--secret", "LAB", "-i", "s3://lab/in.txt", "-o", "s3://lab/out/", *command)
    assert s3.get_object(Bucket="lab", Key="out/o.txt")["Body"].read() == b"FROM AFAR"
    nowhere(root)
    refused = longshore("submit", "--wait", "--retry", "0", "-i", "s3://lab/in.txt", "--", "true", ok=False)
    assert refused.returncode == 1  # the worker has no credentials of its own


def test_signed_addresses_open_single_objects_and_stand_in_no_event(longshore, root, store):
    url, keys, _ = store
    longshore("secret", "presign", "ONE", "s3://lab/in.txt", "--endpoint", url, "--for", "1h", **keys)
    command = ("--shell", 'test "$(cat "$INPUT/in.txt")" = "from afar"')
    longshore("submit", "--wait", "--secret", "ONE", "-i", "s3://lab/in.txt", *command)
    for path in (root / "stack").rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"X-Amz-Signature=" not in path.read_bytes(), path


def test_notifications_reach_a_real_receiver_when_a_batch_has_finished_and_used_its_budget(longshore):
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    got = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/hook"
        on = ("--on", "finished,budget", "--budget", "300ms")
        made = longshore("notify", "add", *on, "-b", "told*", "--webhook", url).stdout.decode().strip()
        rule, key = made.split("\t")
        assert key.startswith("whsec_")
        assert longshore("notify", "test", rule).stdout == b"webhook\ttaken\n"
        longshore("submit", "--wait", "-b", "told-7", "--", "sleep", "0.4")
        end = time.monotonic() + 30
        while len(got) < 3:
            assert time.monotonic() < end, longshore("notify", "show", rule)
            time.sleep(0.1)
        assert [body["occasion"] for _, body in got] == ["test", "budget", "finished"]
        assert {body["batch"] for _, body in got[1:]} == {"told-7"}
        assert got[1][1]["ran_seconds"] >= 0.4
        longshore("notify", "remove", rule)
        assert longshore("notify", "list").stdout == b""
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
