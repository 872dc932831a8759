"""What people and programs write: options, times, sizes, arrays, lists of hosts, #SBATCH lines."""

import pytest

from longshore_common.errors import BadInput
from longshore_slurm import amounts, asked, columns, directives
from longshore_slurm.options import Read, Table, of_environment, over, read
from longshore_slurm.sbatch_options import SBATCH

TABLE = Table("job-name|J= hold|H nice? time|t= time-min= parsable")


def given(*words: str) -> Read:
    return read(SBATCH, words, permute=False)


def test_options_are_read_as_getopt_long_reads_them():
    found = read(
        TABLE, ["-Jone", "--job-name=two", "-HJ", "three", "--nice", "--pars", "script", "-t", "5"], permute=False
    )
    assert found.options == {"job-name": ["one", "two", "three"], "hold": [""], "nice": [""], "parsable": [""]}
    assert found.rest == ["script", "-t", "5"]


def test_an_option_behind_other_words_counts_where_words_may_stand_anywhere():
    found = read(TABLE, ["1204", "-t", "5", "--", "--hold"])
    assert (found.options, found.rest) == ({"time": ["5"]}, ["1204", "--hold"])


def test_an_unknown_option_is_told_and_takes_no_word_with_it():
    found = read(TABLE, ["--new-thing=5", "-Z", "script"], permute=False)
    assert (found.unknown, found.rest) == (["--new-thing", "-Z"], ["script"])


def test_a_beginning_that_several_options_share_is_none_of_them():
    assert read(Table("mem= mem-per-cpu= memory"), ["--me=1"]).unknown == ["--me"]


def test_an_exact_name_wins_over_the_beginning_of_a_longer_one():
    assert read(TABLE, ["--time=5"]).options == {"time": ["5"]}
    with pytest.raises(BadInput, match="needs a value"):
        read(TABLE, ["--job-name"])


def test_the_command_line_wins_over_the_environment_and_that_over_the_script():
    script = read(SBATCH, directives.words("#!/bin/sh\n#SBATCH -J a -c 2\n#SBATCH --time=5\necho\n#SBATCH -p late\n"))
    environment = of_environment(SBATCH, "SBATCH_", {"SBATCH_JOB_NAME": "b", "SBATCH_CPUS_PER_TASK": "3"})
    merged = over(SBATCH, script.options, environment.options, given("-J", "c").options)
    assert merged == {"job-name": ["c"], "cpus-per-task": ["3"], "time": ["5"]}


def test_directives_end_at_the_first_command_and_know_quotes_and_comments():
    text = '#!/bin/bash\n\n# a word\n#SBATCH --job-name="my job"  # why\n#SBATCH -o out\necho\n#SBATCH -c 4\n'
    assert directives.words(text) == ["--job-name=my job", "-o", "out"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 5400), ("10:30", 630), ("1:02:03", 3723), ("2-12", 216000), ("2-12:30", 217800), ("2-00:00:01", 172801),
     ("UNLIMITED", 0), ("0", 0)],
)  # fmt: skip
def test_a_time_limit_is_read_as_sbatch_does(text, seconds):
    assert amounts.seconds(text) == seconds


def test_times_are_shown_as_squeue_and_sacct_do():
    assert [amounts.shown_time(n) for n in (5, 65, 3605, 90061)] == ["0:05", "1:05", "1:00:05", "1-01:01:01"]
    assert [amounts.shown_elapsed(n) for n in (5, 90061)] == ["00:00:05", "1-01:01:01"]


@pytest.mark.parametrize(
    ("text", "size"), [("256", 256 * 1024**2), ("4G", 4 * 1024**3), ("1.5g", 1536 * 1024**2), ("0", 0)]
)
def test_memory_without_a_unit_is_megabytes(text, size):
    assert amounts.memory(text) == size


def test_arrays_are_ranges_or_lists():
    assert amounts.indices("0-9:2%4") == amounts.Indices(0, 2, 5, 4)
    assert amounts.indices("7") == amounts.Indices(7, 1, 1, 0)
    assert amounts.indices("9,1,3-5%2") == amounts.Indices(1, 1, 5, 2, (1, 3, 4, 5, 9))
    for wrong in ("", "a", "5-1", "1-2:0", "1%x"):
        with pytest.raises(BadInput, match="array"):
            amounts.indices(wrong)


def test_lists_of_hosts_are_unfolded():
    assert list(amounts.hosts("n[01-03,7]-a,login,x[1-2]y[3-4]")) == [
        "n01-a", "n02-a", "n03-a", "n7-a", "login", "x1y3", "x1y4", "x2y3", "x2y4",
    ]  # fmt: skip


def test_what_is_asked_for_is_the_product_of_tasks_and_cores():
    want = asked.resources(
        given("-n", "2", "-c", "3", "--mem-per-cpu=1G", "--gres=gpu:a100:2,tape:1", "-L", "matlab:2")
    )
    assert (want.cpus, want.memory, want.gpus, want.custom) == (6, 6 * 1024**3, 2, {"tape": 1.0, "matlab": 2.0})
    assert asked.resources(given()).cpus == 0
    assert asked.resources(given("--gpus-per-task=1", "-n2")).gpus == 2


def test_more_than_one_node_is_refused_with_what_to_do():
    assert asked.resources(given("-N", "1-4")).cpus == 0
    with pytest.raises(BadInput, match="--nodes=1"):
        asked.resources(given("-N", "2"))


def test_signals_and_priorities():
    assert asked.signal("B:USR2@30") == asked.Signal("USR2", 30)
    assert asked.signal("TERM") == asked.Signal("TERM", 60)
    assert [asked.priority(given(*words)) for words in ([], ["--nice"], ["--nice=5"], ["--priority=7"])] == [
        0,
        -100,
        -5,
        7,
    ]


def test_a_table_is_printed_to_its_widths():
    some = columns.of_letters("%.6i|%3t %N")
    assert columns.line(some, ["17", "RUNNING", "w1"]) == "    17|RUN w1"
    assert columns.line(columns.of_names("JobID:4,State:.6"), ["17", "R"]) == "17       R"
    assert columns.line(columns.of_percents("jobid%-4,state%8", 10), ["17", "FAILED"]) == "17     FAILED"
