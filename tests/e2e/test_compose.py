"""`docker compose up --wait` ends healthy, and a user of the host submits to it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore_infra.stack.layout import choose_ports

from . import stand_ins

pytestmark = pytest.mark.engine

TOP = Path(__file__).resolve().parents[2]
LONGSHORE = Path(sys.executable).with_name("longshore")
SERVICES = {"nats", "postgres", "api", "dispatcher", "recruiter", "spawner", "agent"}
OURS = SERVICES - {"nats", "postgres"}


class Composed:
    """The product's compose file under a project name of our own, always the same, so that images are made once."""

    def __init__(self, scratch: Path) -> None:
        self.client = scratch / "client"
        self.client.mkdir()
        self.work = scratch / "work"
        self.work.mkdir()
        ports = choose_ports(None)
        self.command = [
            *stand_ins.compose(scratch),
            "-f",
            str(TOP / "compose.yaml"),
            "--ansi",
            "never",
            "-p",
            "longshore-test",
        ]
        self.environ = os.environ | {
            "LONGSHORE_CLIENT_DIR": str(self.client),
            "LONGSHORE_STATE_DIR": str(self.client),
            "LONGSHORE_AGENT_DIR": str(self.work),
            "LONGSHORE_NATS_PORT": str(ports.nats),
            "LONGSHORE_API_PORT": str(ports.api),
            "DOCKER_BUILDKIT": "0",  # a builder that needs nothing beside the engine
        }

    def compose(self, *words: str, seconds: float = 400) -> str:
        return stand_ins.run(*self.command, *words, seconds=seconds, env=self.environ, cwd=TOP)

    def logs(self, service: str) -> list[str]:
        """What a service printed, on stdout and stderr, as the engine kept it."""
        words = ["docker", "logs", self.compose("ps", "-q", service).strip()]
        done = subprocess.run(
            words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=True
        )
        return done.stdout.splitlines()

    def longshore(self, *words: str) -> str:
        return stand_ins.run(LONGSHORE, *words, seconds=90, env=self.environ)

    def down(self) -> None:
        words = [*self.command, "down", "--volumes", "--remove-orphans", "--timeout", "5"]
        subprocess.run(words, env=self.environ, cwd=TOP, timeout=120, check=True, capture_output=True)


@pytest.fixture(scope="module")
def composed() -> Iterator[Composed]:
    assert not stand_ins.missing(), f"install {stand_ins.missing()} to run this"
    scratch = Path(tempfile.mkdtemp(prefix="longshore-compose-"))
    stand_ins.make_all(scratch / "images")
    made = Composed(scratch)
    try:
        made.compose("up", "--build", "--detach", "--wait")
        yield made
    finally:
        made.down()
        shutil.rmtree(scratch, ignore_errors=True)


def test_every_service_is_healthy(composed):
    lines = composed.compose("ps", "--format", "json").splitlines()
    told = {service["Service"]: service["Health"] for line in lines if (service := json.loads(line))}
    assert told == dict.fromkeys(SERVICES, "healthy")


def test_a_command_submitted_from_the_host_runs_and_its_output_comes_back(composed):
    task = composed.longshore("submit", "--wait", "--", "echo", "through the pier").split()[0]
    shown = json.loads(composed.longshore("task", "show", task, "--json"))
    assert (shown["state"], shown["worker"]) == ("succeeded", "compose-1")
    assert composed.longshore("task", "logs", task) == "through the pier\n"


def test_a_container_runs_on_the_engine_of_the_host(composed):
    task = composed.longshore("submit", "--wait", "-d", stand_ins.PYTHON, "--", "python3", "-c", "print(6 * 7)").split()
    assert composed.longshore("task", "logs", task[0]) == "42\n"


def test_the_agent_s_image_has_what_moves_data(composed):
    assert composed.compose("exec", "-T", "agent", "rclone", "version").startswith("rclone v")
    words = "import longshore_data.storage, longshore_data.stores.rclone, longshore_data.stores.s3"
    composed.compose("exec", "-T", "agent", "python", "-c", words)


def test_the_user_s_files_are_private_and_hold_no_key_of_the_stack(composed):
    files = {p.name: p.stat().st_mode & 0o777 for p in composed.client.iterdir()}
    assert files.items() >= {"client.json": 0o600, "user.creds": 0o600, "api-token": 0o600}.items()
    assert not [name for name in files if "seed" in name or "key" in name]


def test_our_services_run_as_a_user_of_their_own_and_log_json(composed):
    for service in sorted(OURS):
        lines = composed.logs(service)
        assert lines, service
        for line in lines:
            assert {"time", "level", "service", "event"} <= json.loads(line).keys(), f"{service}: {line}"
    for service in ("api", "dispatcher", "recruiter"):
        assert composed.compose("exec", "-T", service, "id", "-u").strip() == "10001"


def test_a_stack_taken_down_and_up_again_keeps_what_it_knows(composed):
    task = composed.longshore("submit", "--wait", "--", "true").split()[0]
    composed.compose("down", "--timeout", "5")
    composed.compose("up", "--detach", "--wait")
    assert json.loads(composed.longshore("task", "show", task, "--json"))["state"] == "succeeded"
