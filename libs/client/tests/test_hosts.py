"""Workers and transfers for people: columns, lines, and where what attempts left lies. Programs read the JSON."""

import asyncio
import json

import msgspec
import pytest

from longshore.cli import hosts, transfers
from longshore_common.testing.nats_server import running

from .test_command import longshore

LOAD = {
    "cpu": {"user": 30.0, "system": 7.0, "iowait": 12.0}, "memory": {"used": 3 << 30, "total": 8 << 30, "swap": 0},
    "load": [1.5, 1.0, 0.5], "disks": {"sda": {"read": 1 << 20, "write": 0}},
    "mounts": {"/": {"used": 5, "total": 10}, "/data": {"used": 81, "total": 100}},
    "network": {"eth0": {"in": 2048, "out": 0}}, "gpus": [{"name": "T4"}], "slots": {"wanted": 4, "effective": 2},
    "hindered": "",
}  # fmt: skip
WORKER = {
    "name": "w1", "state": "hindered", "reason": "its disk is full", "concurrency": 4, "prefetch": -1, "batch": "*",
    "running": 1, "assigned": 2, "held": 3, "load": LOAD,
    "cares": [{"worker": "w1", "at": "2026-11-21T07:00:00Z", "care": "clean", "text": "3 gone", "freed": 2048, "request": 7}],
}  # fmt: skip


@pytest.fixture
def said(tmp_path, profile):
    """What a command prints, on the stack of the stub api."""
    (tmp_path / "client.json").write_bytes(msgspec.json.encode(profile))

    def saying(*line):
        code, out, err = longshore(*line, state=tmp_path)
        assert code == 0, err
        return out.decode()

    return saying


def test_the_list_of_workers_shows_how_busy_their_hosts_are(api, said):
    silent = {"name": "w2", "state": "lost", "load": None}
    api.routes["/workers"] = lambda _: {"items": [WORKER, silent], "next": None, "position": 1}
    first, second = (line.split("\t") for line in said("worker", "list").splitlines())
    assert first[:2] == ["w1", "hindered"]
    assert first[7:10] == ["37 % + 12 % iowait", "3.0G/8.0G", "81 % /data"]
    assert second[7:10] == ["-", "-", "-"]


def test_a_worker_is_shown_with_what_hinders_it_what_its_host_does_and_what_it_was_told(api, said):
    api.routes["/workers/w1"] = lambda _: WORKER
    shown = said("worker", "show", "w1")
    for part in ("its disk is full", "held         3", "disk /data  81/100", "eth0        in 2.0K/s", "3 gone", "2.0K"):
        assert part in shown, shown
    assert json.loads(said("worker", "show", "w1", "--json")) == WORKER


def test_half_a_sample_shows_half():
    assert hosts.cpu({"load": {}}) is None
    assert hosts.memory({"load": {"memory": {"used": 1, "total": 0}}}) is None
    assert hosts.disk({"load": {"mounts": {"/": None, "/x": {"used": 1, "total": 0}}}}) is None
    assert hosts.cpu({"load": {"cpu": {"user": None, "system": 3.2, "iowait": 0.2}}}) == "3 %"


def task(**more):
    return {
        "id": "7.1",
        "state": "staging",
        "command": ["a"],
        "label": 12,
        "entry": None,
        "output": "s3://b/{index}/",
    } | more


def attempt(n=1, **more):
    return {"id": f"7.1.{n}", "n": n, "state": "failed", "worker": "w1", "exit_code": 1} | more


def test_a_task_tells_how_far_its_transfer_is(api, said):
    progress = {
        "phase": "staging",
        "done": 1 << 30,
        "total": 4 << 30,
        "at": None,
        "rate": float(100 << 20),
        "eta": 30.72,
    }
    api.routes["/tasks/7.1"] = lambda _: task(progress=progress)
    api.routes["/tasks/7.1/attempts"] = lambda _: {"items": []}
    assert "1.0G of 4.0G (25 %), 100M/s, 31s to go" in said("task", "show", "7.1")
    api.routes["/tasks"] = lambda _: {"items": [task(progress=progress), task(progress=None)], "next": None}
    states = [line.split("\t")[1] for line in said("task", "list").splitlines()]
    assert states == ["staging 25 %", "staging"]


def test_a_transfer_of_unknown_size_shows_what_is_known():
    assert transfers.far({"done": 2048, "total": 0, "rate": None, "eta": None}) == "2.0K"
    assert transfers.far(None) == ""
    assert transfers.state_of(task(progress={"done": 5, "total": 0})) == "staging"


def test_a_task_tells_what_its_attempts_left_and_where(api, said):
    left = attempt(1, image="sha256:ab", kept=True, delivered_bytes=5), attempt(2, checkpoint=True, delivered_bytes=0)
    api.routes["/tasks/7.1"] = lambda _: task(state="failed", progress=None)
    api.routes["/tasks/7.1/attempts"] = lambda _: {"items": list(left)}
    assert said("task", "show", "7.1").splitlines()[-4:] == [
        "attempt 1 ran in image sha256:ab",
        "attempt 1 left its work directory on w1: longshore task debug 7.1 --kept",
        "attempt 1 delivered, but never published: s3://b/12/.longshore/7.1.1/",
        "attempt 2 saved its checkpoint: the next one goes on from there",
    ]


def test_an_output_that_no_attempt_could_have_has_no_private_place():
    assert transfers.private_place(task(output="s3://b/{entry}"), "7.1.1") == ""
    assert transfers.private_place(task(output=None), "7.1.1") == ""


@pytest.fixture
async def asking(tmp_path, api, profile):
    """Say a line to a stack with a real log and the stub api, which answers every wish with `answers`."""
    answers = []
    async with running(tmp_path / "nats") as server:
        door = msgspec.structs.replace(profile, nats_url=server.url, nats_creds=server.creds("user", "ada"))
        (tmp_path / "client.json").write_bytes(msgspec.json.encode(door))
        reader = await server.connect("api")

        async def asked(*line):
            seq = await reader.log.last() + 1
            api.routes[f"/requests/{seq}"] = lambda _: {
                "request": seq,
                **(answers.pop(0) if len(answers) > 1 else answers[0]),
            }
            return await asyncio.to_thread(longshore, *line, state=tmp_path)

        asked.answers = answers
        yield asked


def cared(worker, text, freed=0):
    return {"worker": worker, "care": "clean", "text": text, "freed": freed, "request": 1}


async def test_what_each_worker_says_is_printed_as_it_comes(asking):
    done = {"answer": "done", "workers": ["w1", "w2"], "cares": [cared("w2", "none were kept")]}
    asking.answers += [{"answer": "none"}, done, {**done, "cares": [*done["cares"], cared("w1", "3 gone", 2048)]}]
    code, out, err = await asking("worker", "clean", "--all")
    assert (code, out) == (0, b"w2\tnone were kept\t-\nw1\t3 gone\t2.0K\n"), err


async def test_a_worker_that_says_nothing_in_time_is_named_and_the_exit_code_is_1(asking):
    asking.answers.append({"answer": "done", "workers": ["w1", "w2"], "cares": [cared("w2", "2 gone")]})
    code, out, err = await asking("worker", "prune-images", "w1", "w2", "--timeout", "0.2s")
    assert (code, out) == (1, b"w2\t2 gone\t-\n")
    assert "w1 has not said yet" in err


async def test_what_is_refused_is_told_with_its_reason(asking):
    asking.answers.append({"answer": "refused", "reason": "no worker is called w9; known are w1"})
    code, out, err = await asking("worker", "restart", "w9")
    assert (code, out) == (1, b"")
    assert "no worker is called w9" in err
