"""The wrapper, by running it: variables, patterns of files, scripts of any length, and what looks like a credential."""

import os
import subprocess
from pathlib import Path

import pytest

from longshore_common.errors import BadInput
from longshore_slurm import closet, exports, jobscript
from longshore_slurm.jobscript import Files, Job


def started(tmp_path: Path, job: Job, script: str, **environ: str) -> subprocess.CompletedProcess[str]:
    temp = tmp_path / "temp"
    temp.mkdir(exist_ok=True)
    variables = {
        "PATH": os.environ["PATH"], "TEMP": str(temp), "LONGSHORE_SUBMISSION": "1204", "LONGSHORE_TASK": "1204.2",
        "LONGSHORE_ATTEMPT": "1204.2.1", "LONGSHORE_INDEX": "7", "LONGSHORE_ENTRY": "", "CPU": "2",
        "SLURM_JOB_NAME": "my job", "SLURM_JOB_USER": "ada", **jobscript.variables(script), **environ,
    }  # fmt: skip
    return subprocess.run(jobscript.command(job), env=variables, cwd=temp, capture_output=True, text=True, timeout=20)


def test_a_job_runs_in_its_directory_and_writes_where_it_was_told(tmp_path):
    done = started(
        tmp_path, Job(Files(str(tmp_path), "slurm-%j.out")), "#!/bin/sh\npwd; echo err >&2; echo $SLURM_JOB_ID\n"
    )
    assert done.returncode == 0, done
    assert (tmp_path / "slurm-1204.out").read_text() == f"{tmp_path}\nerr\n1204\n"
    assert done.stdout == f"stdout: {tmp_path}/slurm-1204.out\n"


def test_every_pattern_of_a_file_name_is_known(tmp_path):
    job = Job(Files(str(tmp_path), "%A_%a-%5a-%x-%u-%%-%t.out", "%j.err"), array="0-9")
    done = started(tmp_path, job, "#!/bin/sh\necho out; echo err >&2\n")
    assert done.returncode == 0, done
    assert (tmp_path / "1204_7-00007-my job-ada-%-0.out").read_text() == "out\n"
    assert (tmp_path / f"{jobscript.number(1204, 2)}.err").read_text() == "err\n"


def test_an_element_knows_its_array(tmp_path):
    script = "#!/bin/sh\necho $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $SLURM_JOB_ID $SLURM_RESTART_COUNT\n"
    for entry, element in (("", "7"), ("31", "31")):
        done = started(tmp_path, Job(Files(str(tmp_path), "-"), array="1"), script, LONGSHORE_ENTRY=entry)
        assert done.stdout == f"1204 {element} {jobscript.number(1204, 2)} 0\n"
    assert jobscript.split_number(jobscript.number(1204, 2)) == (1204, 2)
    assert jobscript.split_number(1204) is None


def test_a_job_is_no_element_though_its_submitter_was_one(tmp_path):
    script = (
        "#!/bin/sh\necho ${SLURM_ARRAY_TASK_ID-none} ${LONGSHORE_SLURM_WRAPPER-none} ${LONGSHORE_SLURM_SCRIPT_0-none}\n"
    )
    done = started(tmp_path, Job(Files(str(tmp_path), "-")), script, SLURM_ARRAY_TASK_ID="3")
    assert done.stdout == "none none none\n"


def test_a_long_script_arrives_whole_and_gets_its_arguments(tmp_path):
    body = "# é " + "x" * 100_000
    script = f'#!/bin/sh\n{body}\nprintf "%s|" "$@"; wc -c < "$0"\n'
    done = started(tmp_path, Job(Files(str(tmp_path), "-"), ("a b", "$c")), script)
    assert done.stdout == f"a b|$c|{len(script.encode())}\n"
    assert jobscript.script_of(jobscript.variables(script)) == script


def test_output_is_begun_anew_or_added_to(tmp_path):
    for append, text in ((True, "old\nnew\n"), (False, "new\n")):
        (tmp_path / "out").write_text("old\n")
        started(tmp_path, Job(Files(str(tmp_path), "out", append=append)), "#!/bin/sh\necho new\n")
        assert (tmp_path / "out").read_text() == text


def test_input_comes_from_the_file_that_was_named(tmp_path):
    (tmp_path / "in").write_text("hello\n")
    done = started(tmp_path, Job(Files(str(tmp_path), "-", input="in")), "#!/bin/sh\ncat\n")
    assert done.stdout == "hello\n"


@pytest.mark.parametrize("files", [Files("/not/there/at/all", "out"), Files("/", "/not/there/at/all/out")])
def test_a_place_that_is_not_there_fails_the_job_and_is_named(tmp_path, files):
    done = started(tmp_path, Job(files), "#!/bin/sh\necho never\n")
    assert done.returncode != 0
    assert "/not/there/at/all" in done.stderr


def test_a_script_without_a_first_line_is_refused():
    with pytest.raises(BadInput, match="first line"):
        jobscript.variables("echo hello\n")


def test_a_command_tells_its_job_again():
    job = Job(Files("/d", "o", "e", "i", append=True), ("a", "b"), "0-9%2")
    assert jobscript.of_command(jobscript.command(job)) == job
    assert jobscript.of_command(("sh", "-c", "true")) is None


def test_the_environment_goes_along_as_export_says():
    environ = {
        "PATH": "/bin",
        "A": "1",
        "B": "2",
        "SLURM_JOB_ID": "5",
        "LONGSHORE_TASK": "5.0",
        "LONGSHORE_STATE_DIR": "/s",
    }
    assert exports.exported(None, environ) == {"PATH": "/bin", "A": "1", "B": "2", "LONGSHORE_STATE_DIR": "/s"}
    assert exports.exported("NONE", environ) == {}
    assert exports.exported("A,C=x y", environ) == {"A": "1", "C": "x y"}
    assert exports.exported("ALL,A=9", environ)["A"] == "9"
    assert exports.exported("K='a,b',A", environ) == {"K": "a,b", "A": "1"}


def test_what_looks_like_a_credential_is_in_a_private_file_that_the_job_reads(tmp_path):
    environ = {"HOME": str(tmp_path), "AWS_SECRET_ACCESS_KEY": "it's secret", "GH_TOKEN": "t", "A": "1"}
    open_, closed = exports.parted(environ)
    assert (sorted(open_), sorted(closed)) == (["A", "HOME"], ["AWS_SECRET_ACCESS_KEY", "GH_TOKEN"])
    file = Path(closet.put(closed, environ))
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert closet.put(dict(reversed(closed.items())), environ) == str(file)
    script = '#!/bin/sh\necho "$AWS_SECRET_ACCESS_KEY"\n'
    done = started(tmp_path, Job(Files(str(tmp_path), "-")), script, LONGSHORE_SLURM_ENV=str(file))
    assert done.stdout == "it's secret\n"
    gone = started(tmp_path, Job(Files(str(tmp_path), "-")), script, LONGSHORE_SLURM_ENV="/not/there")
    assert (gone.returncode, gone.stdout) == (0, "\n")
    assert "/not/there cannot be read" in gone.stderr
