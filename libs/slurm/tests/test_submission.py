"""From sbatch's options to the event, and dependencies to requirements."""

import pytest

from longshore_common.errors import BadInput
from longshore_common.events import TasksSubmitted
from longshore_common.ids import SubmissionId, TaskRange
from longshore_slurm import dependencies, jobscript, submission
from longshore_slurm.dependencies import Need
from longshore_slurm.options import read
from longshore_slurm.sbatch_options import SBATCH
from longshore_slurm.submission import Script, Submitter

WHO = Submitter("ada", 1000, 1000, "login1", "/home/ada", 0o022)
SCRIPT = Script("#!/bin/sh\ntrue\n", ("a",), "job.sh")


def made(*words: str, who: Submitter = WHO) -> TasksSubmitted:
    return submission.event(read(SBATCH, words, permute=False), SCRIPT, who, {"A": "1"}, "k" * 32)


def whole(number: int, size: int = 1) -> TaskRange:
    return TaskRange(SubmissionId(number), 0, size - 1)


def test_a_plain_script_asks_for_nothing_but_a_slot():
    event = made()
    spec = event.body.spec
    assert (spec.cpus, spec.memory, spec.run_timeout, spec.uid) == (0, 0, 0, None)
    assert (event.batch, event.body.size, spec.name, event.name) == ("default", 1, "job.sh", "job.sh")
    assert jobscript.of_command(spec.command).files.output == "slurm-%j.out"
    assert spec.env["A"] == "1"
    assert spec.env["SLURM_SUBMIT_DIR"] == "/home/ada"


def test_an_array_is_one_submission():
    event = made("-a", "1-9:2%3", "-J", "x")
    assert (event.body.size, event.body.start, event.body.step, event.max_running) == (5, 1, 2, 3)
    assert jobscript.of_command(event.body.spec.command).files.output == "slurm-%A_%a.out"
    assert event.body.spec.env["SLURM_ARRAY_TASK_MAX"] == "9"
    listed = made("-a", "1,5,7")
    assert (listed.body.size, listed.body.entries) == (3, ("1", "5", "7"))


def test_a_signal_before_the_end_takes_its_time_from_the_limit():
    spec = made("-t", "10", "--signal=B:USR2@30").body.spec
    assert (spec.run_timeout, spec.stop_signal, spec.grace) == (570, "SIGUSR2", 30)


def test_partitions_are_batches_and_accounts_are_tags():
    event = made("-p", "Long.Queue", "-A", "proj", "--comment", "why", "--chdir", "sub", "-H", "--no-requeue")
    assert (event.batch, event.tags, event.description) == (
        "long-queue", {"slurm.account": "proj", "slurm.partition": "Long.Queue"}, "why",
    )  # fmt: skip
    assert event.held
    assert jobscript.of_command(event.body.spec.command).files.directory == "/home/ada/sub"
    assert event.body.spec.retry_on["worker-lost"] == 0


def test_jobs_run_as_their_user_where_the_stack_is_anothers():
    assert made(who=WHO._replace(as_user=True)).body.spec.uid == 1000


def needs(text: str) -> list[Need]:
    sizes = {"5": 1, "6": 3}
    return dependencies.needs(text, lambda word: (whole(int(word), sizes[word]),), lambda: (whole(9),))


def test_dependencies_are_requirements_by_their_manner():
    assert needs("afterok:5:6") == [Need("ok", (whole(5), whole(6, 3)))]
    assert needs("afterany:5") == [Need("any", (whole(5),))]
    assert needs("singleton") == [Need("any", (whole(9),))]
    assert needs("aftercorr:6,afterok:5") == [Need("ok", (whole(5),)), Need("each", (whole(6, 3),))]


@pytest.mark.parametrize("text", ["after:5", "afternotok:5", "afterok:5?afterok:6", "afterok", "nonsense:5"])
def test_a_dependency_that_cannot_be_is_refused(text):
    with pytest.raises(BadInput):
        needs(text)
