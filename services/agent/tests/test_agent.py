"""The whole agent with real processes and storage, told what to do through the log as a dispatcher would."""

import asyncio
import gzip
import json
import os

from longshore_common import events as e
from longshore_common import subjects
from longshore_common.errors import Unreachable
from longshore_common.testing.places import reachable
from longshore_common.testing.waiting import until

from .conftest import alive, kill
from .storage import Server


async def test_many_quick_commands_all_succeed_in_few_reports(yard):
    await yard.start_agent()
    names = await yard.assign("true", count=300)
    for name in names:
        end = await yard.ended(name)
        assert (end.outcome, end.exit_code, end.stdout.size) == ("succeeded", 0, 0)
    assert sum(len(r.ended) for r in yard.events(e.AttemptsReported)) == 300
    assert len(yard.events(e.AttemptsReported)) < 150


async def test_output_exit_code_and_usage_are_reported(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo $LONGSHORE_ATTEMPT $LONGSHORE_INDEX; printf '\\377' >&2; exit 3")
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "exit", 3)
    assert end.stdout.tail == f"{name} 100\n"
    assert (end.stderr.tail, end.stderr.encoded) == ("/w==", True)
    assert end.usage.started_at <= end.usage.ended_at
    assert end.usage.peak_memory > 0


async def test_directories_of_the_contract_are_there_and_empty_each_time(yard):
    await yard.start_agent(slots=1)
    script = "touch $INPUT/a $OUTPUT/b $TEMP/c d; ls $INPUT $OUTPUT $TEMP $RESOURCE | wc -w"
    names = await yard.assign("sh", "-c", script, count=5)
    # three files and the three headings that ls prints for... exactly the same in each: nobody sees another's files
    assert len({(await yard.ended(n)).stdout.tail for n in names}) == 1


async def test_a_large_output_is_stored_in_pieces_and_only_its_tail_travels(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "seq 200000")
    end = await yard.ended(name)
    whole = "".join(f"{k}\n" for k in range(1, 200001)).encode()
    assert end.stdout.size == len(whole)
    assert whole.endswith(end.stdout.tail.encode())
    assert end.stdout.stored == f"nats:out-w1/{name}.stdout#1"
    blob = await yard.dispatcher.blobs.get(subjects.outputs("w1"), f"{name}.stdout.0.gz")
    assert gzip.decompress(blob) == whole


async def test_a_program_that_is_not_there_fails_with_cause_launch(yard):
    await yard.start_agent()
    (name,) = await yard.assign("no-such-program")
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "launch", None)
    assert end.usage.started_at is None
    assert end.usage.ended_at > 1e9  # an instant, not the beginning of the epoch
    assert "no-such-program" in end.reason


async def test_a_time_limit_fails_with_its_own_cause(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sleep", "600", run_timeout=0.2)
    end = await yard.ended(name)
    assert (end.outcome, end.cause) == ("failed", "timeout-running")


async def test_inputs_are_staged_outputs_delivered_and_published_only_when_granted(yard, tmp_path):
    await yard.start_agent()
    (tmp_path / "in.txt").write_text("hello")
    out = tmp_path / "out"
    (name,) = await yard.assign(
        "sh",
        "-c",
        "tr a-z A-Z < $INPUT/in.txt > $OUTPUT/out.txt",
        inputs=(f"file://{tmp_path}/in.txt",),
        output=f"file://{out}",
    )
    asked = await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    assert [f.path for f in asked[0].files] == ["out.txt"]
    assert not (out / "out.txt").exists()
    await yard.signal("publish", name)
    end = await yard.ended(name)
    assert (end.outcome, end.files, end.usage.staged_bytes, end.usage.delivered_bytes) == ("succeeded", 1, 5, 5)
    assert (out / "out.txt").read_text() == "HELLO"
    assert yard.moves(name)[0] == "staging"


async def test_outputs_of_a_failed_task_stay_private(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x; exit 4", output=f"file://{tmp_path}/out")
    end = await yard.ended(name)
    assert (end.outcome, end.exit_code, end.files) == ("failed", 4, 1)
    assert [p.name for p in (tmp_path / "out").iterdir()] == [".longshore"]


async def test_another_worker_can_finish_a_publication(yard, tmp_path):
    agent = await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x", output=f"file://{tmp_path}/out")
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    order = agent.desk.attempts.held[name].order
    again = e.Order(
        submission=order.submission, spec=order.spec, batch="b", user="u", starts=(e.Start(0, 2),), publish_of=1
    )
    await yard.tell(e.AttemptsAssigned(orders=(again,)))
    end = await yard.ended(f"{order.submission}.0.2")
    assert (end.outcome, end.files) == ("succeeded", 1)
    assert (tmp_path / "out" / "x").read_text() == "x\n"


async def test_a_task_of_another_user_owns_its_directories(yard, tmp_path):
    await yard.start_agent()
    reachable(tmp_path)
    script = "id -u; echo x > $TEMP/x && echo y > $OUTPUT/y && echo kept"
    (name,) = await yard.assign("sh", "-c", script, uid=65534, gid=65534)
    (other,) = await yard.assign("sh", "-c", "id -u; ls $TEMP | wc -l")
    assert (await yard.ended(name)).stdout.tail == "65534\nkept\n"
    assert (await yard.ended(other)).stdout.tail == "0\n0\n"


async def test_a_missing_input_fails_clearly_and_runs_nothing(yard, tmp_path):
    await yard.start_agent()
    (name,) = await yard.assign("true", inputs=(f"file://{tmp_path}/none",))
    end = await yard.ended(name)
    assert (end.outcome, end.cause, end.exit_code) == ("failed", "stage-in", None)
    assert "none" in end.reason


async def test_without_an_engine_a_container_fails_and_commands_go_on(yard):
    await yard.start_agent()
    assert yard.events(e.WorkerJoined)[0].facts.problems
    (name,) = await yard.assign("true", container="alpine")
    assert (await yard.ended(name)).outcome == "failed"
    (other,) = await yard.assign("true")
    assert (await yard.ended(other)).outcome == "succeeded"


async def test_signals_reach_a_running_task_within_a_second(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "trap 'echo usr' USR1; echo ready; while :; do sleep 0.02; done")
    await _says(yard, name, b"ready\n")
    await yard.signal("run", name, signal_="SIGUSR1")
    await _says(yard, name, b"ready\nusr\n")
    await yard.signal("pause", name)
    pid = int((await until(lambda: _pids(name)))[0])
    await until(lambda: _state(pid) == "T", 1)
    await yard.signal("run", name)
    await until(lambda: _state(pid) != "T", 1)
    await yard.signal("kill", name)
    end = await yard.ended(name, 1)
    assert (end.outcome, end.cause) == ("cancelled", "operator")


async def test_a_recall_gives_back_what_waits(yard):
    await yard.start_agent(slots=1)
    names = await yard.assign("sleep", "600", count=4)
    await yard.running(names[0])
    await yard.tell(e.AttemptsRecalled(attempts=tuple(names)))
    for name in names[1:]:
        assert (await yard.ended(name)).outcome == "recalled"
    assert not yard.ends(names[0])
    await yard.signal("kill", names[0])
    await yard.ended(names[0])


async def test_more_slots_start_more_at_once(yard):
    await yard.start_agent(slots=1)
    names = await yard.assign("sleep", "600", count=3)
    await yard.running(names[0])
    await yard.tell(e.WorkerResized(concurrency=3))
    for name in names:
        await yard.running(name)
    await yard.signal("kill", *names)
    for name in names:
        await yard.ended(name)


async def test_live_output_is_read_by_offset_and_after_the_end(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo one; sleep 600")
    await _says(yard, name, b"one\n")
    head, data = await _ask(yard, name, offset=2)
    assert (head, data) == ({"offset": 2, "size": 4, "ended": False}, b"e\n")
    await yard.signal("kill", name)
    await yard.ended(name)
    head, data = await _ask(yard, name)
    assert head["ended"]
    assert data == b"one\n"
    head, _ = await _ask(yard, "9.9.9")
    assert head == {"offset": 0, "size": 0, "ended": True}


async def test_it_beats(yard):
    beats = []

    async def listen():
        async for _, body in yard.dispatcher.hints.listen(subjects.beat("w1")):
            beats.append(json.loads(body))

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    await yard.start_agent()
    await until(lambda: beats)
    assert beats[0]["life"] == 1
    listening.cancel()


async def test_told_that_it_was_lost_it_joins_again_with_what_it_holds(yard):
    await yard.start_agent()
    (name,) = await yard.assign("sleep", "600")
    await yard.running(name)
    await yard.tell(e.WorkerLost(reason="silence"))
    await until(lambda: len(yard.events(e.WorkerJoined)) == 2)
    assert yard.events(e.WorkerJoined)[1].held == (name,)
    await yard.signal("kill", name)
    await yard.ended(name)


async def test_a_worker_that_was_moved_says_its_new_batch_in_its_next_life(yard):
    agent = await yard.start_agent()
    assert yard.events(e.WorkerJoined)[0].batch == "*"
    await yard.tell(e.WorkerMoved(batch="night"))
    (name,) = await yard.assign("true")
    await yard.ended(name)
    await yard.kill_agent(agent)
    await yard.start_agent()
    assert yard.events(e.WorkerJoined)[1].batch == "night"


async def test_an_agent_killed_while_tasks_run_finds_them_again_and_runs_none_twice(yard, tmp_path):
    agent = await yard.start_agent()
    script = f"echo start >> {tmp_path}/$LONGSHORE_ATTEMPT; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit 7"
    names = await yard.assign("sh", "-c", script, count=5)
    await yard.running(names[0])
    await yard.running(names[1])
    await yard.kill_agent(agent)
    (tmp_path / "go").touch()
    await yard.start_agent()
    assert (yard.events(e.WorkerJoined)[1].life, set(yard.events(e.WorkerJoined)[1].held) <= set(names)) == (2, True)
    for name in names:
        assert (await yard.ended(name)).exit_code == 7
        assert (tmp_path / name).read_text() == "start\n"
        assert len(yard.ends(name)) == 1


async def test_an_agent_killed_at_any_moment_of_many_tasks_loses_and_repeats_none(yard, tmp_path):
    agent = await yard.start_agent()
    names = await yard.assign("sh", "-c", f"echo x >> {tmp_path}/$LONGSHORE_ATTEMPT", count=400)
    for k in (40, 120, 250):
        await until(lambda k=k: len([n for r in yard.events(e.AttemptsReported) for n in r.ended]) > k)
        await yard.kill_agent(agent)
        agent = await yard.start_agent()
    for name in names:
        end = await yard.ended(name)
        assert end.outcome == "succeeded", end
        assert (tmp_path / name).read_text() == "x\n"


async def test_an_agent_killed_after_delivery_publishes_in_its_next_life(yard, tmp_path):
    agent = await yard.start_agent()
    (name,) = await yard.assign("sh", "-c", "echo x > $OUTPUT/x", output=f"file://{tmp_path}/out")
    await until(lambda: [d for r in yard.events(e.AttemptsReported) for d in r.delivered])
    await yard.kill_agent(agent)
    await yard.signal("publish", name)
    await yard.start_agent()
    assert (await yard.ended(name)).outcome == "succeeded"
    assert (tmp_path / "out" / "x").exists()


async def test_a_killed_spawner_fails_its_attempts_for_the_host_and_leaves_no_process(yard):
    await yard.start_agent()
    names = await yard.assign("sh", "-c", "sleep 600 & wait", count=2)
    for name in names:
        await yard.running(name)
    pids = [int(p) for n in names for p in _pids(n)]
    kill(yard.spawner.process)
    for name in names:
        end = await yard.ended(name)
        assert (end.outcome, end.cause) == ("failed", "host")
    for pid in pids:
        await until(lambda pid=pid: not alive(pid))
    await yard.spawner.start()
    yard.spawner.link.close()
    (after,) = await yard.assign("true")
    assert (await yard.ended(after)).outcome == "succeeded"


async def test_a_spawner_killed_while_the_agent_was_away_is_noticed_too(yard):
    agent = await yard.start_agent()
    (name,) = await yard.assign("sleep", "600")
    await yard.running(name)
    (pid,) = [int(p) for p in _pids(name)]
    await yard.kill_agent(agent)
    kill(yard.spawner.process)
    await yard.spawner.start()
    yard.spawner.link.close()
    await yard.start_agent()
    assert (await yard.ended(name)).cause == "host"
    await until(lambda: not alive(pid))


async def test_while_the_log_is_away_work_goes_on_and_is_reported_later_in_order(yard):
    agent = await yard.start_agent()
    names = await yard.assign("sh", "-c", "sleep 0.05", count=6)
    await until(lambda: len(agent.desk.attempts.held) == 6)
    append, agent.reporter.log = agent.reporter.log, Away()
    await until(lambda: not agent.desk.attempts.held)
    assert not any(yard.ends(n) for n in names)
    agent.reporter.log = append
    for name in names:
        await yard.ended(name)
    numbers = [r.n for r in yard.events(e.AttemptsReported)]
    assert numbers == sorted(numbers)


async def test_reports_the_log_never_got_are_sent_by_the_next_life(yard):
    agent = await yard.start_agent()
    agent.reporter.log = Away()
    names = await yard.assign("true", count=3)
    await until(lambda: not agent.desk.attempts.held and agent.reporter.outbox())
    await yard.kill_agent(agent)
    await yard.start_agent()
    for name in names:
        assert (await yard.ended(name)).outcome == "succeeded"
    assert yard.events(e.WorkerJoined)[1].held == ()


async def test_a_disk_that_refuses_the_journal_refuses_new_work_and_recovers(yard):
    agent = await yard.start_agent()
    (first,) = await yard.assign("sleep", "0.3")
    await yard.running(first)
    write, agent.journal.write = agent.journal.write, _full
    (second,) = await yard.assign("true")
    assert (await yard.ended(first)).outcome == "succeeded"
    assert second not in agent.desk.attempts.held
    agent.journal.write = write
    assert (await yard.ended(second)).outcome == "succeeded"


async def test_output_that_cannot_be_delivered_fails_the_attempt_not_the_agent(yard, tmp_path):
    await yard.start_agent()
    (tmp_path / "file").write_text("")
    (name,) = await yard.assign(
        "sh", "-c", "echo x > $OUTPUT/x", output=f"file://{tmp_path}/file/out", upload_timeout=0.5
    )
    end = await yard.ended(name)
    assert end.outcome == "failed"
    assert end.cause in ("stage-out", "timeout-delivering")
    assert end.exit_code == 0


class Away:
    """A log that does not answer."""

    async def append(self, *_args, **_options):
        raise Unreachable("away")

    append_all = append


def _full(*_records):
    raise OSError(28, "No space left on device")


def _pids(name):
    """Processes of an attempt, by their environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if f"LONGSHORE_ATTEMPT={name}".encode() in file.read().split(b"\0") and alive(pid):
                    found.append(pid)
        except OSError:
            continue
    return found


def _state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


async def _ask(yard, name, offset=0, stream="stdout"):
    question = json.dumps({"attempt": name, "stream": stream, "offset": offset, "limit": 1000}).encode()
    answer = await yard.dispatcher.hints.ask(subjects.ask_output("w1"), question, deadline=5)
    head, _, data = answer.partition(b"\n")
    return json.loads(head), data


async def _says(yard, name, wanted):
    async with asyncio.timeout(10):
        while (await _ask(yard, name))[1] != wanted:
            await asyncio.sleep(0.005)


async def test_a_large_output_goes_to_s3_if_a_folder_is_set_and_is_read_back_through_the_agent(yard, tmp_path):
    root = tmp_path / "s3"
    (root / "logs").mkdir(parents=True)
    server = Server("rclone", root).start()
    try:
        agent = await yard.start_agent(output_store="s3://logs/out/", environ=server.environ)
        (name,) = await yard.assign("sh", "-c", "seq 200000")
        end = await yard.ended(name)
        whole = "".join(f"{k}\n" for k in range(1, 200001)).encode()
        assert end.stdout.stored == f"s3://logs/out/{name}.stdout#1"
        assert gzip.decompress((root / "logs/out" / f"{name}.stdout.0.gz").read_bytes()) == whole
        ask = {"attempt": "", "stream": "", "offset": 100, "limit": 50}
        answer = await agent.answer_output(json.dumps({**ask, "stored": end.stdout.stored}).encode())
        assert answer.partition(b"\n")[2] == whole[100:150]
        foreign = await agent.answer_output(json.dumps({**ask, "stored": "s3://logs/secret#1"}).encode())
        assert "is not below" in json.loads(foreign)["error"]
    finally:
        server.stop()


async def test_an_output_that_s3_refuses_leaves_its_tail_and_digest(yard, tmp_path):
    root = tmp_path / "s3"
    root.mkdir()
    server = Server("rclone", root).start()
    try:
        wrong = {**server.environ, "AWS_SECRET_ACCESS_KEY": "another-secret"}
        await yard.start_agent(output_store="s3://logs/out/", environ=wrong)
        (name,) = await yard.assign("sh", "-c", "seq 20000")
        end = await yard.ended(name)
        assert (end.outcome, end.stdout.stored) == ("succeeded", "")
        assert end.stdout.size > 4096
        assert end.stdout.tail.endswith("20000\n")
    finally:
        server.stop()
