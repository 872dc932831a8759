"""The doctor: what it sees on a host in order, on a broken one, and that it disturbs nobody."""

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from email.utils import formatdate

import pytest

from longshore_agent.service import doctor
from longshore_agent.service.settings import Settings
from longshore_common import events as e
from longshore_common.testing.waiting import until

from .test_process import site  # noqa: F401  a fixture

AGENT = [sys.executable, "-m", "longshore_agent"]


class Api:
    """Answers /healthz with a clock that is `ahead` by so many seconds."""

    def __init__(self, ahead=0, status=200):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response_only(status if self.path == "/healthz" else 404)
                self.send_header("Date", formatdate(self.server.clock() + ahead, usegmt=True))
                self.end_headers()

            def log_message(self, *_):
                """Say nothing."""

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.server.clock = time.time
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


async def seen(tmp_path, **fields):
    fields = {"worker": "w1", "worker_dir": str(tmp_path / "w1"), "provider": "none", **fields}
    checks = await doctor.examine(
        Settings(**fields), {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{tmp_path}/none"}
    )
    return {check.name: check for check in checks}


async def test_a_host_in_order_passes_and_its_working_agent_notices_nothing(site):  # noqa: F811
    site.start("spawner")
    agent = site.start_agent()
    await until(lambda: [x for x in site.said() if x["event"] == "agent-working"])
    secret = site.directory / "secret"
    secret.chmod(0o600)
    creds = site.server.creds("worker", "w1")
    os.chmod(creds, 0o600)
    with Api() as api:
        env = {
            "PATH": os.environ["PATH"],
            "LONGSHORE_WORKER": "w1",
            "LONGSHORE_WORKER_DIR": str(site.directory / "w1"),
            "LONGSHORE_API_URL": api.url,
            "LONGSHORE_SPAWNER_SOCKET": str(site.directory / "s.sock"),
            "LONGSHORE_PROVIDER": "none",
            "NATS_URL": site.server.url,
            "NATS_CREDS": str(creds),
        }
        done = subprocess.run([*AGENT, "doctor", "--json"], env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {c["name"]: c for c in json.loads(done.stdout)}
    needed = ("settings", "work-directory", "disk", "hard-links", "api", "credentials", "nats", "spawner")
    assert {checks[name]["verdict"] for name in needed} == {"ok"}
    assert agent.poll() is None
    assert not [x for x in site.said() if x["event"] == "spawner-gone"]
    assert len([x for x in site.said() if x["event"] == "spawner-connected"]) == 1


def test_a_host_without_anything_fails_and_each_line_has_its_fix():
    done = subprocess.run(
        [*AGENT, "doctor"],
        env={"PATH": os.environ["PATH"], "LONGSHORE_PROVIDER": "none"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    broken = [k for k, line in enumerate(lines) if line.startswith("broken")]
    assert any("settings" in lines[k] for k in broken)
    assert all("fix: " in lines[k + 1] for k in broken)


async def test_a_directory_that_is_none_is_named(tmp_path):
    (tmp_path / "w1").write_text("a file")
    check = (await seen(tmp_path))["work-directory"]
    assert check.verdict == "broken"
    assert str(tmp_path / "w1") in check.evidence


async def test_a_disk_below_its_watermark_is_told(tmp_path):
    check = (await seen(tmp_path, disk_low="100%"))["disk"]
    assert check.verdict == "broken"
    assert "below its watermark" in check.evidence


@pytest.mark.parametrize(("ahead", "word"), [(60, "behind"), (-60, "ahead")])
async def test_a_clock_that_differs_from_the_apis_is_told(tmp_path, ahead, word):
    with Api(ahead) as api:
        check = (await seen(tmp_path, api_url=api.url))["api"]
    assert check.verdict == "broken"
    assert f"s {word}" in check.evidence


async def test_an_api_that_is_away_or_is_something_else_is_told(tmp_path):
    with Api(status=502) as api:
        assert "answers 502" in (await seen(tmp_path, api_url=api.url))["api"].evidence
    check = (await seen(tmp_path, api_url=api.url))["api"]
    assert (check.verdict, "does not answer" in check.evidence) == ("broken", True)


async def test_a_secret_that_others_can_read_is_noted_with_the_command_that_helps(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    check = (await seen(tmp_path, join_secret_file=str(secret)))["credentials"]
    assert (check.verdict, check.fix) == ("note", f"chmod 600 {secret}")
    assert (await seen(tmp_path, join_secret_file=f"{secret}-not"))["credentials"].verdict == "broken"


async def test_what_is_only_less_than_it_could_be_breaks_nothing(tmp_path):
    checks = await seen(tmp_path)
    assert checks["container-engine"].verdict == "note"
    assert checks["container-engine"].fix
    assert checks["spawner"].verdict == "ok"


async def test_a_spawner_that_is_not_there_is_told(tmp_path):
    check = (await seen(tmp_path, spawner_socket=str(tmp_path / "s.sock")))["spawner"]
    assert check.verdict == "broken"


async def test_hours_that_cannot_be_read_break_the_settings(tmp_path):
    check = (await seen(tmp_path, hours="Mo cpus=1"))["settings"]
    assert check.verdict == "broken"
    assert "'Mo'" in check.evidence


async def visited(yard, request=7):
    await yard.tell(e.WorkerCareOrdered(care="doctor", request=request))
    (answer,) = await until(lambda: [x for x in yard.events(e.WorkerCared) if x.request == request])
    assert answer.care == "doctor"
    return answer.text


async def test_an_agent_at_work_is_visited_by_the_doctor_and_goes_on(yard, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{yard.directory}/none")
    agent = await yard.start_agent(settings={"api_url": "http://127.0.0.1:9"})
    (running,) = await yard.assign("sleep", "600")
    await yard.running(running)
    text = await visited(yard)
    assert " checks are broken" in text.split("\n")[0]
    assert "\napi: http://127.0.0.1:9 does not answer" in text
    assert "; fix: start it, or correct LONGSHORE_API_URL" in text
    assert len(text) <= doctor.SUMMARY
    assert running in agent.desk.attempts.held


async def test_a_host_whose_work_directory_takes_no_files_any_more_is_told_so(yard):
    await yard.start_agent()
    attempts = yard.directory / "w1" / "attempts"
    attempts.rename(yard.directory / "gone")
    attempts.write_text("no directory any more")
    assert f"work-directory: {attempts} takes no files: Not a directory; fix: make it a directory" in await visited(
        yard
    )
    attempts.unlink()
    (yard.directory / "gone").rename(attempts)
    assert "work-directory" not in await visited(yard, 8)


async def test_a_container_engine_that_was_there_and_is_not_any_more_is_broken(tmp_path):
    environ = {"PATH": os.environ["PATH"], "DOCKER_HOST": f"unix://{tmp_path}/none"}
    settings = Settings(worker="w1", worker_dir=str(tmp_path / "w1"), provider="none")

    async def engine(had):
        text = await doctor.visit(settings, environ, engine=had)
        number = int(text.split(" of ")[0])
        return number, [line for line in text.split("\n") if line.startswith("container-engine")]

    (before, (line,)), (after, (same,)) = await engine(False), await engine(True)
    assert line == same
    assert after == before + 1


def test_a_summary_is_short_whatever_is_wrong():
    checks = [doctor.Check(f"check-{k}", "broken" if k % 2 else "note", "x\n" * 500, "y" * 500) for k in range(15)]
    text = doctor.summary(checks)
    assert len(text) <= doctor.SUMMARY
    assert text.startswith("7 of 15 checks are broken, 8 could be better\ncheck-1: x x")
    assert text.endswith(" more")
    assert doctor.summary([doctor.Check("a", "ok", "fine")]) == "0 of 1 checks are broken"
