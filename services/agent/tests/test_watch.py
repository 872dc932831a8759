"""What the agent sees of its host and does about it: readings, a full disk, the owner's hours, devices, errands."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longshore_agent.adapters import gpus, host, metrics
from longshore_agent.core import hours
from longshore_common import events as e
from longshore_common import subjects
from longshore_common.testing.waiting import until

MIB = 1 << 20


# --- readings ---


async def test_the_beat_tells_what_the_host_does(yard):
    beats = []

    async def listen():
        async for _, body in yard.dispatcher.hints.listen(subjects.beat("w1")):
            beats.append(json.loads(body)["host"])

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    await yard.start_agent(slots=3)
    await until(lambda: len(beats) > 1)
    listening.cancel()
    seen = beats[1]
    assert abs(seen["at"] - time.time()) < 30
    assert set(seen["cpu"]) == {"user", "system", "iowait"}
    assert 0 < seen["memory"]["used"] < seen["memory"]["total"]
    assert len(seen["load"]) == 3
    assert all(set(rates) == {"read", "write"} for rates in seen["disks"].values())
    assert all(set(rates) == {"in", "out"} for rates in seen["network"].values())
    assert seen["slots"] == {"wanted": 3, "effective": 3}
    assert seen["hindered"] == ""
    assert len(json.dumps(seen)) < 4000


def test_rates_are_those_of_the_time_between_two_readings(tmp_path):
    reading = metrics.Metrics(100.0)
    with open(tmp_path / "x", "wb") as file:
        file.write(os.urandom(32 * MIB))
        os.fsync(file.fileno())
    disks = reading.read(104.0)["disks"]
    if disks:  # a container on a network disk has none
        assert max(rates["write"] for rates in disks.values()) >= 32 * MIB / 4
    again = reading.read(104.0)
    assert all(rate == 0 for rates in again["disks"].values() for rate in rates.values())


def test_processors_that_work_are_seen_as_busy():
    reading = metrics.Metrics(0.0)
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    cpu = reading.read(1.0)["cpu"]
    assert cpu["user"] + cpu["system"] > 5
    assert sum(cpu.values()) <= 100.1


def test_only_cards_are_counted_and_each_device_once():
    reading = metrics.Metrics(0.0).read(1.0)
    virtual = {p.name for p in Path("/sys/devices/virtual/net").glob("*")}
    cards = {p.parent.name for p in Path("/sys/class/net").glob("*/device")}
    assert set(reading["network"]) == cards or not cards
    assert not set(reading["network"]) & virtual or not cards
    assert not [name for name in reading["disks"] if name.startswith(("loop", "zram", "dm-"))]


def test_bytes_are_counted_as_the_kernel_counts_them_elsewhere():
    def told(path):
        return int(Path(path).read_text())

    for name, counts in metrics.network():
        base = f"/sys/class/net/{name}/statistics"
        again = dict(metrics.network())[name]
        assert counts[0] <= told(f"{base}/rx_bytes") <= again[0] + 10 * MIB
        assert counts[1] <= told(f"{base}/tx_bytes") <= again[1] + 10 * MIB
        assert counts[0] > told(f"{base}/rx_packets") or not counts[0]
    for name, (read, written) in metrics.disks():
        fields = Path(f"/sys/block/{name}/stat").read_text().split()
        assert read <= int(fields[2]) * 512 <= read + 256 * MIB
        assert written <= int(fields[6]) * 512 <= written + 256 * MIB


def test_mounts_are_real_and_each_device_is_told_once(tmp_path):
    table = tmp_path / "mounts"
    table.write_text(
        "proc /proc proc rw 0 0\n"
        "/dev/vda1 / ext4 rw 0 0\n"
        "/dev/vda1 /var/lib/docker ext4 rw 0 0\n"
        "/dev/vda1 /home ext4 rw 0 0\n"
        "/dev/vda2 /boot/efi vfat rw 0 0\n"
        "/dev/loop3 /snap/core/1 squashfs ro 0 0\n"
        "tmpfs /run tmpfs rw 0 0\n"
        "/dev/nvme0n1 /scratch\\040two xfs rw 0 0\n"
        "server:/data /data nfs4 rw 0 0\n"
        "overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n"
    )
    assert metrics.mounts(str(table)) == ["/", "/data", "/scratch two"]


def test_a_reading_costs_next_to_nothing():
    reading = metrics.Metrics(0.0)
    begun = time.process_time()
    for second in range(100):
        reading.read(float(second))
    assert (time.process_time() - begun) / 100 < 0.003 * 2  # 0.3 % of a processor at one reading in 2 s


def test_numa_nodes_cover_the_processors_we_may_use():
    nodes = host.numa_nodes()
    assert sorted(c for node in nodes for c in node) == sorted(os.sched_getaffinity(0))


LIBRARY = r"""
static void put(char *s, const char *t) { while ((*s++ = *t++)); }
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int gpu, memory; } rates;
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned k, void **h) { *h = (void *)(long)(k + 1); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned n) { put(s, "Tesla T4"); return 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) { put(s, (long)h == 1 ? "GPU-1" : "GPU-2"); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, memory *m) { m->total = 16000; m->used = 1000 * (long)h; m->free = 1; return 0; }
int nvmlDeviceGetUtilizationRates(void *h, rates *r) { if ((long)h == 2) return 15; r->gpu = 37; return 0; }
"""


def test_gpus_are_read_through_nvidias_library(tmp_path):
    """The hardware cannot be had: a library of the same name and interface stands for it."""
    source = tmp_path / "ml.c"
    source.write_text(LIBRARY)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-nostdlib", "-fno-builtin", "-o", tmp_path / gpus.LIBRARY, source],
        check=True,
        timeout=60,
    )
    script = (
        "import json; from longshore_agent.adapters import gpus; found, problem = gpus.find();"
        "print(json.dumps([found.names, found.ids, found.read(), gpus.chosen('all', found), problem]))"
    )
    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [
        ["Tesla T4", "Tesla T4"],
        ["GPU-1", "GPU-2"],
        [{"name": "Tesla T4", "used": 1000, "total": 16000, "busy": 37}, {"name": "Tesla T4"}],
        ["GPU-1", "GPU-2"],
        "",
    ]


def test_without_the_library_there_are_no_gpus_and_its_binding_is_not_loaded():
    script = "import sys; from longshore_agent.adapters import gpus; print(gpus.find(), 'pynvml' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().strip() == "(None, '') False"


def test_what_does_not_answer_keeps_its_last_answer_and_nobody_waits_for_it():
    script = """
import asyncio, threading
from longshore_agent.adapters.aside import Aside, answered
never = threading.Event()
calls = []
def ask():
    calls.append(1)
    if len(calls) > 1:
        never.wait()
    return "first"
one = Aside(ask, "none", "x")
one.refresh()
while one.known == "none": pass
for _ in range(5): one.refresh()
async def main():
    try:
        await asyncio.wait_for(answered(never.wait), 0.05)
    except TimeoutError:
        print(one.known, len(calls))
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=20)
    assert done.stdout.decode().split() == ["first", "2"]


# --- devices ---


async def test_gpus_are_set_aside_for_each_task_also_across_a_restart(yard):
    agent = await yard.start_agent(slots=4, settings={"gpus": "0,1,2"})
    assert yard.events(e.WorkerJoined)[0].facts.gpus == 3
    held = await yard.assign("sleep", "600", count=2, gpus=1)
    for name in held:
        await yard.running(name)
    await yard.kill_agent(agent)
    await yard.start_agent()
    asking = await yard.assign("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", count=2, gpus=1)
    assert [(await yard.ended(name)).stdout.tail for name in asking] == ["2\n", "2\n"]
    await yard.signal("kill", *held)
    for name in held:
        await yard.ended(name)
    (both,) = await yard.assign("sh", "-c", "echo $CUDA_VISIBLE_DEVICES", gpus=3)
    assert (await yard.ended(both)).stdout.tail == "0,1,2\n"


async def test_pinned_tasks_run_on_hardware_threads_of_their_own(yard):
    await yard.start_agent(slots=2, settings={"numa": "on"})
    script = "grep Cpus_allowed_list /proc/self/status; sleep 0.5"
    names = await yard.assign("sh", "-c", script, count=2, cpus=1)
    ends = [await yard.ended(name) for name in names]
    first, second = (x.stdout.tail.split()[1] for x in ends)
    assert max(x.usage.started_at for x in ends) < min(x.usage.ended_at for x in ends), "they ran together"
    assert first != second
    assert {first, second} <= {str(c) for node in host.numa_nodes() for c in node}


# --- what is in the way ---


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 MB at the worker's directory; needs root, so for anybody else this is a failure that says so."""
    where = tmp_path / "w1"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", where], check=True, timeout=10)
    yield where
    subprocess.run(["umount", "-l", where], check=True, timeout=10)


async def test_a_disk_below_its_watermark_takes_no_new_work_until_there_is_room(small_disk, yard):
    ballast = small_disk / "ballast"
    agent = await yard.start_agent(slots=2)
    (before,) = await yard.assign("sleep", "600")
    await yard.running(before)
    ballast.write_bytes(b"x" * 60 * MIB)
    await agent.watch.look()
    await until(lambda: yard.events(e.WorkerHindered))
    reason = yard.events(e.WorkerHindered)[-1].reason
    assert "w1/attempts has" in reason
    assert "below its watermark of 6.4 MiB" in reason
    names = await yard.assign("true", count=3)
    await until(lambda: names[-1] in agent.desk.attempts.held)
    await agent.watch.look()
    assert {agent.desk.attempts.held[n].phase for n in names} == {"ready"}
    assert not yard.ends(before)
    await yard.kill_agent(agent)
    joined = len(yard.hub.records)
    again = await yard.start_agent()
    await until(lambda: [r for r in yard.hub.records[joined:] if isinstance(r.event, e.WorkerHindered)])
    ballast.unlink()
    await again.watch.look()
    await until(lambda: not yard.events(e.WorkerHindered)[-1].reason)
    assert [(await yard.ended(n)).outcome for n in names] == ["succeeded"] * 3


async def test_room_is_made_before_work_is_refused(small_disk, yard):
    agent = await yard.start_agent()
    ballast, asked = small_disk / "ballast", []

    async def make_room(lacking):
        asked.append(lacking)
        ballast.unlink()

    agent.watch.make_room = make_room
    ballast.write_bytes(b"x" * 60 * MIB)
    await agent.watch.look()
    assert 0 < asked[0] < 7 * MIB
    assert not agent.desk.attempts.limits.hindered


async def test_in_the_owners_hours_nothing_starts_and_the_reason_is_told(yard):
    agent = await yard.start_agent(settings={"hours": "cpus=0"})
    await until(lambda: yard.events(e.WorkerHindered))
    assert "LONGSHORE_HOURS='cpus=0'" in yard.events(e.WorkerHindered)[0].reason
    (name,) = await yard.assign("true")
    await until(lambda: name in agent.desk.attempts.held)
    assert agent.desk.attempts.held[name].phase == "ready"
    agent.watch.rules = ()  # the hour is over
    await agent.watch.look()
    assert (await yard.ended(name)).outcome == "succeeded"


async def overlap(yard, names):
    """How many of these ran at once, at most."""
    spans = [(await yard.ended(n)).usage for n in names]
    return max(sum(s.started_at <= t.started_at < s.ended_at for s in spans) for t in spans)


async def test_a_cap_on_slots_holds_for_what_waits_in_the_spawner_too(yard):
    await yard.start_agent(slots=4, settings={"hours": "slots=2"})
    assert await overlap(yard, await yard.assign("sleep", "0.1", count=8)) == 2


async def test_a_cap_that_begins_holds_for_what_waits_in_the_spawner_already(yard, tmp_path):
    agent = await yard.start_agent(slots=2)
    small = await yard.assign("sleep", "600", count=2, cpus=1)
    for name in small:
        await yard.running(name)
    (large,) = await yard.assign("touch", f"{tmp_path}/ran")
    await until(lambda: large in agent.desk.attempts.held and agent.desk.attempts.held[large].phase == "launched")
    agent.watch.rules = hours.parse("cpus=1.5")
    await agent.watch.look()
    await until(lambda: agent.desk.attempts.held[large].phase == "ready")
    await yard.signal("kill", small[0])
    await yard.ended(small[0])
    (fits,) = await yard.assign("true", cpus=0.5)
    assert (await yard.ended(fits)).outcome == "succeeded"
    assert not (tmp_path / "ran").exists()
    agent.watch.rules = ()
    await agent.watch.look()
    assert (await yard.ended(large)).outcome == "succeeded"


async def test_a_throttled_host_runs_fewer_at_once_and_all_of_them_in_the_end(yard):
    agent = await yard.start_agent(slots=4, settings={"throttle": "off"})
    agent.desk.attempts.limits.throttle = 1
    agent.turn()
    assert await overlap(yard, await yard.assign("sleep", "0.1", count=6)) == 1


# --- errands ---


async def order(yard, care, request=7):
    return await yard.tell(e.WorkerCareOrdered(care=care, request=request))


async def test_a_care_is_done_once_and_answered(yard):
    agent = await yard.start_agent()
    done = []

    async def clean():
        done.append(1)
        return "removed 3 kept directories", 123

    agent.errands.chores["clean"] = clean
    await order(yard, "clean")
    await until(lambda: yard.events(e.WorkerCared))
    (answer,) = yard.events(e.WorkerCared)
    assert (answer.care, answer.request, answer.text, answer.freed) == ("clean", 7, "removed 3 kept directories", 123)
    await until(lambda: not agent.desk.attempts.errands)
    await yard.kill_agent(agent)
    again = await yard.start_agent()
    assert not again.desk.attempts.errands
    assert done == [1]


async def test_a_care_that_a_crash_interrupted_is_done_by_the_next_life_and_answered_once(yard):
    agent = await yard.start_agent()
    begun = asyncio.Event()

    async def hangs():
        begun.set()
        await asyncio.Event().wait()
        return "", 0

    agent.errands.chores["forget-resources"] = hangs
    await order(yard, "forget-resources")
    await asyncio.wait_for(begun.wait(), 10)
    await yard.kill_agent(agent)
    again = await yard.start_agent()
    await until(lambda: yard.events(e.WorkerCared))
    await until(lambda: not again.desk.attempts.errands)
    assert [x.life for x in yard.events(e.WorkerCared)] == [2]


async def test_a_care_that_fails_is_answered_with_the_reason(yard):
    agent = await yard.start_agent()

    async def fails():
        raise PermissionError(13, "Permission denied", "/var/x")

    agent.errands.chores["clean"] = fails
    await order(yard, "clean")
    await until(lambda: yard.events(e.WorkerCared))
    assert "/var/x" in yard.events(e.WorkerCared)[0].text
