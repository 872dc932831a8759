"""Tables that must be whole, programs in a directory, instants, and workers as nodes."""

from typing import get_args

import pytest

from longshore.records import Task, Worker
from longshore_common.errors import BadInput, Refused
from longshore_common.model import Cause, State
from longshore_slurm import install, nodes, sacct, squeue, states, thin
from longshore_slurm.fields import FIELDS
from longshore_slurm.jobs import Named, job, named
from longshore_slurm.jobscript import Files, Job, command, number
from longshore_slurm.main import COMMANDS, run
from longshore_slurm.sbatch_options import MISSING, REFUSED, SBATCH

#: What PSI/J knows as reasons of failures; it stops at any other.
PSIJ_REASONS = {"NonZeroExitCode", "TimeLimit", "NodeDown", "SystemFailure"}


def test_every_state_and_cause_has_a_name_of_slurms():
    for state in get_args(State):
        assert states.said(Task(id="1.0", state=state)) in states.ALL
    for cause in get_args(Cause):
        task = Task(id="1.0", state="failed", cause=cause)
        assert states.said(task) in states.ALL
        if states.said(task) is not states.CANCELLED:
            assert states.reason(task) in PSIJ_REASONS
        assert task.state in states.OURS[states.said(task)]
    assert len({word for one in states.ALL for word in one}) == 2 * len(states.ALL)


def test_failures_are_told_apart_by_their_cause():
    causes = {
        "exit": "F",
        "oom": "OOM",
        "timeout-running": "TO",
        "worker-lost": "NF",
        "evicted": "PR",
        "requirement": "CA",
    }
    for cause, short in causes.items():
        assert states.said(Task(id="1.0", state="failed", cause=cause)).short == short


def test_exit_codes_and_signals_are_told_apart():
    codes = {0: "0:0", 3: "3:0", 137: "0:9", 128: "128:0"}
    for code, shown in codes.items():
        assert states.exit_code(Task(id="1.0", state="failed", cause="exit", exit_code=code)) == shown
    assert states.exit_code(Task(id="1.0", state="failed", cause="host")) == "1:0"
    assert states.exit_code(Task(id="1.0", state="queued")) == "0:0"


def test_a_paused_task_is_suspended_or_held():
    assert states.said(Task(id="1.0", state="running", paused=True)) is states.SUSPENDED
    assert states.reason(Task(id="1.0", state="queued", paused=True)) == "JobHeldUser"


def test_states_may_be_named_short_long_or_not_ours():
    assert states.wanted(["pd", "RUNNING"]) == {states.PENDING, states.RUNNING}
    assert states.wanted(["all"]) is None
    assert states.wanted(["CG"]) == frozenset()
    with pytest.raises(ValueError, match="NONSENSE"):
        states.wanted(["nonsense"])


def test_every_field_that_a_table_names_is_there():
    assert {
        field for field, _ in [*squeue.LETTERS.values(), *squeue.NAMES.values(), *sacct.NAMES.values()]
    } <= FIELDS.keys()
    assert SBATCH.takes.keys() >= MISSING
    assert SBATCH.takes.keys() >= REFUSED


def test_jobs_are_named_in_every_way():
    assert named("1204") == named("1204.batch") == named("1204+0") == Named(1204)
    assert named("1204_7") == Named(1204, (7,))
    assert named("1204_[1-3,9]") == Named(1204, (1, 2, 3, 9))
    assert named(str(number(1204, 2))) == Named(1204, ordinal=2)
    assert named("1204_*") == Named(1204)
    with pytest.raises(BadInput, match="Invalid job id"):
        named("x")


def test_several_elements_are_one_id():
    def shown(array: str, index: int, until: int | None, entry: str | None = None, label: int = 0) -> str:
        shape = command(Job(Files("/", "o"), array=array))
        made = job(Task(id="5.1", submission=5, index=index, label=label, entry=entry, command=shape))
        return made._replace(until=until).id

    assert shown("3-9:2", 1, 3, label=5) == "5_[5-9:2]"
    assert shown("0-9", 1, 3, label=1) == "5_[1-3]"
    assert shown("1,4,9", 1, 2, entry="4") == "5_[4,9]"
    assert shown("1,4,9", 1, None, entry="4") == "5_4"
    assert shown("", 0, None) == "5"


def test_programs_are_installed_renewed_and_removed_but_never_over_anothers(tmp_path):
    files = install.install(tmp_path / "bin")
    assert {file.name for file in files} == set(COMMANDS)
    assert all(file.stat().st_mode & 0o777 == 0o755 for file in files)
    (tmp_path / "bin" / "other").write_text("mine")
    install.install(tmp_path / "bin")
    assert len(install.remove(tmp_path / "bin")) == len(COMMANDS)
    assert [file.name for file in (tmp_path / "bin").iterdir()] == ["other"]
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\n# the real one\n")
    with pytest.raises(Refused, match="squeue"):
        install.install(tmp_path / "bin")
    assert not (tmp_path / "bin" / "sbatch").exists()
    assert install.remove(tmp_path / "bin") == []


def test_a_command_that_is_not_there_and_a_stack_that_is_not_there_are_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LONGSHORE_STATE_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LONGSHORE_PROFILE", raising=False)
    assert run("salloc", ["-n", "1"]) == 1
    assert run("squeue", []) == 1
    err = capsys.readouterr().err
    assert "salloc: error: there is no salloc here" in err
    assert "squeue: error: no stack at" in err
    assert run("sinfo", ["--version"]) == 0


def test_a_status_without_a_stack_is_running_since_nobody_knows_better(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LONGSHORE_STATE_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LONGSHORE_PROFILE", raising=False)
    monkeypatch.setattr("sys.argv", ["longshore-status", "1204", "1205"])
    assert thin.status() == 0
    assert capsys.readouterr().out == "running\nrunning\n"


def test_an_array_runs_while_any_element_does():
    assert [thin.word_of(s) for s in ({"running", "failed"}, {"success", "failed"}, {"success"})] == [
        "running",
        "failed",
        "success",
    ]


def test_instants_are_read_as_sacct_does():
    now = 1_800_000_000.0
    assert sacct.instant("now", now) == now
    assert sacct.instant("now-2hours", now) == now - 7200
    assert sacct.instant("now-90", now) == now - 90
    assert sacct.instant("2027-01-15T08:00:00", now) == sacct.instant("2027-01-15T08:00", now)
    assert sacct.instant("today", now) == sacct.instant("00:00", now)
    for wrong in ("yesterday-ish", "now*2", "now-2fortnights"):
        with pytest.raises(BadInput, match="Invalid time"):
            sacct.instant(wrong, now)


def test_workers_are_nodes_of_the_partitions_they_serve():
    facts = {"cpus": 8, "memory": 16 * 1024**3, "gpus": 2}
    some = [
        Worker(name="w1", state="up", concurrency=2, running=2, facts=facts), Worker(name="w2", state="up", batch="gpu"),
        Worker(name="w3", state="draining"), Worker(name="w4", state="lost"), Worker(name="w5", state="left"),
    ]  # fmt: skip
    found = nodes.partitions(some)
    assert {name: [w.name for w in members] for name, members in found.items()} == {
        "default": ["w1", "w3", "w4"],
        "gpu": ["w2"],
    }
    assert [nodes.state(worker) for worker in some[:4]] == ["allocated", "idle", "draining", "down"]
    assert (nodes.cpus(some[0]), nodes.memory(some[0]), nodes.gpus(some[0])) == (8, 16384, "gpu:2")
