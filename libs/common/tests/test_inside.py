"""Which paths in containers a task may name, and what its steps share for them."""

import pytest

from longshore_common import inside
from longshore_common.editing import edited
from longshore_common.model import Change, Collect, Mount, Step, Substitution, TaskSpec

IMAGE = "busybox"


def task(*steps, **fields):
    steps = steps or (Step(command=("true",), container=IMAGE),)
    return TaskSpec(**{"command": steps[0].command, "container": steps[0].container, "steps": steps, **fields})


def step(**fields):
    return Step(**{"command": ("true",), "container": IMAGE, **fields})


def mount(path, **fields):
    return Mount(uri="s3://b/x", path=path, **fields)


def collect(path, **fields):
    return Collect(uri="s3://b/x", path=path, **fields)


def test_a_task_without_paths_shares_nothing():
    assert inside.shared(TaskSpec(command=("true",), container=IMAGE)) == inside.NOTHING
    assert inside.shared(task()) == inside.Shared()


def test_folders_are_laid_over_the_image_once_however_deep_what_is_in_them():
    found = inside.shared(task(mounts=(mount("/data/a/b"), mount("/data/c")), volumes=("/data//x/", "/data")))
    assert found.folders == ("/data",)
    assert set(found.made) == {"/data", "/data/a", "/data/x"}
    beside = inside.shared(task(volumes=("/a/c", "/a", "/a-b", "/a/b")))
    assert set(beside.folders) == {"/a", "/a-b"}
    assert found.files == ()
    assert not found.temp


def test_files_in_folders_of_the_image_are_laid_into_them_alone():
    found = inside.shared(task(step(stdin="/in", stdout="/usr/bin/x"), collects=(collect("/var/lib/y"),)))
    assert found == inside.Shared((), ("/in", "/usr/bin/x", "/var/lib/y"), ())


def test_tmp_is_each_steps_own_until_something_of_the_task_is_in_it():
    assert not inside.shared(task(volumes=("/data",))).temp
    for spec in (task(volumes=("/tmp/x",)), task(step(stdout="/tmp/o")), task(mounts=(mount("/tmp/f"),))):
        assert inside.shared(spec).temp
        assert inside.shared(spec).folders == ()


def test_what_is_below_the_usual_folders_needs_none_of_its_own():
    found = inside.shared(task(mounts=(mount("/input/a/x"),), collects=(collect("/output/y"),)))
    assert (found.folders, found.files) == ((), ())
    assert found.made == ("/input/a",)


def test_patterns_need_the_folder_above_their_first_wildcard():
    assert inside.shared(task(collects=(collect("/res/a*/b.txt"),))).folders == ("/res",)
    assert inside.still("/res/a/[xy]/*") == "/res/a"


def test_workdirs_in_shared_folders_are_there():
    found = inside.shared(task(step(workdir="/data/w"), step(workdir="/elsewhere"), volumes=("/data",)))
    assert found.made == ("/data", "/data/w")


def test_one_container_is_one_step_and_a_bare_command_is_none():
    assert inside.steps_of(TaskSpec(command=("a",), container="i")) == (Step(command=("a",), container="i"),)
    assert inside.steps_of(TaskSpec(command=("a",))) == ()
    assert inside.images(task(step(), step(container="other"), step())) == (IMAGE, "other")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (task(step(command=())), "its command is empty"),
        (task(step(), step(command=("",))), "step 2: its command is empty"),
        (task(step(), shell=True), "for a shell write sh"),
        (task(step(), command=("false",)), "the command and the container of its first step"),
        (task(step(), step(container="")), "some of its steps name a container"),
        (task(step(container="", stdout="/data/x"), container=None), "without a container only /input"),
        (task(step(container=""), container=None, volumes=("/x",)), "name a container"),
        (task(step(command=("a\0b",))), "NUL byte"),
        (task(step(command=("x" * 200_000,))), "more than 131071 bytes"),
        (task(step(env={"A=": "x"})), "cannot name a variable"),
        (task(step(workdir="work")), "workdir 'work' is no absolute path"),
        (task(step(stdin="/a/../b")), "stdin '/a/../b' is no absolute path"),
        (task(step(stdout="/proc/x")), "/proc is not a task's to fill"),
        (task(volumes=("/",)), "is the whole container"),
        (task(volumes=("/usr",)), "holds programs and settings"),
        (task(volumes=("/resource/x",)), "/resource is not a task's to fill"),
        (task(mounts=(mount("/etc", directory=True),)), "holds programs and settings"),
        (task(mounts=(mount("/a/.longshore/x"),)), "names with .longshore"),
        (task(collects=(collect("/*.txt"),)), "holds programs and settings"),
        (task(mounts=(mount("/a/b"), mount("/a//b"))), "two mounts are both /a/b"),
        (task(mounts=(mount("/a/b"), mount("/a/b/c"))), "/a/b is named as a file"),
        (task(mounts=(mount("/a/b"),), volumes=("/a/b",)), "/a/b is named as a file"),
        (task(step(stdout="/a/b"), volumes=("/a/b/c",)), "/a/b is named as a file"),
        (task(step(stdout="/usr")), "/usr is a folder"),
        (task(mounts=(mount("/tmp"),)), "/tmp is a folder"),
        (task(collects=(collect("/etc"),)), "/etc is a folder"),
        (task(mounts=(Mount(uri="", path="/a/b"),)), "is empty"),
        (TaskSpec(command=("a",), volumes=("/x",)), "name a container"),
        (task(collects=(collect("/a/b"),), use_cache=True, output="s3://b/"), "not used again"),
        (task(step(), step(), checkpoint="x", output="s3://b/"), "a checkpoint is of one command"),
        (task(*[step()] * 1001), "at most 1000"),
    ],
)
def test_what_cannot_be_is_told_with_the_fix(spec, words):
    assert words in inside.fault(spec)


def test_what_real_clients_send_is_fine():
    snakemake = task(step(workdir="/tmp", command=("/bin/bash", "/tmp/run.sh")), mounts=(mount("/tmp/run.sh"),))
    nextflow = task(step(workdir="/job"), collects=(collect("/job/*", prefix="/job"),), mounts=(mount("/job/a"),))
    cwl = task(volumes=("/var/spool/cwl",), mounts=(mount("/var/lib/cwl/stg1/x"),))
    same = task(mounts=(mount("/data/x"),), collects=(collect("/data/x"), collect("/data/x")))
    assert [inside.fault(spec) for spec in (snakemake, nextflow, cwl, same)] == ["", "", "", ""]


def test_words_are_replaced_in_steps_and_in_uris_of_mounts_and_collects():
    spec = task(step(command=("old", "x"), env={"A": "old"}), mounts=(mount("/a/b"),), collects=(collect("/c/d"),))
    change = Change(
        substitutions=(
            Substitution(field="command", find="old", replace="new"),
            Substitution(field="inputs", find="//b", replace="//in"),
            Substitution(field="output", find="//b", replace="//out"),
        )
    )
    made = edited(spec, change)
    assert (made.command, made.steps[0].command, made.steps[0].env) == (("new", "x"), ("new", "x"), {"A": "old"})
    assert (made.mounts[0].uri, made.collects[0].uri) == ("s3://in/x", "s3://out/x")
    assert inside.fault(made) == ""
    assert edited(spec, Change(substitutions=(Substitution(field="command", find="none"),))) is spec


def test_other_steps_bring_their_command_and_container_along():
    change = Change(set={"steps": [{"command": ["b"], "container": "other"}]})
    made = edited(task(), change)
    assert (made.command, made.container, inside.fault(made)) == (("b",), "other", "")
