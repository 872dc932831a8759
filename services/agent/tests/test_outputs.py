"""What attempts say, what they find, and the directories they work in."""

import gzip
import hashlib
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.adapters import outputs
from longshore_agent.adapters.output_store import FolderStore
from longshore_agent.adapters.workdirs import WorkDirs
from longshore_agent.core import contract
from longshore_common.errors import BadInput
from longshore_common.events import Order, Start
from longshore_common.model import TaskSpec

HOST = contract.Host("w1", 16, 64_000, 4)


@given(st.binary(max_size=5000))
def test_a_small_output_travels_whole_and_comes_back_to_the_byte(data):
    said = outputs.described(data)
    assert outputs.from_text(said) == data
    assert (said.size, said.digest) == (len(data), hashlib.sha256(data).hexdigest())


@given(st.text(min_size=1, max_size=30), st.integers(0, 3))
def test_the_tail_of_text_is_text_even_if_it_begins_inside_a_character(text, shift):
    data = (text * 5000)[:5000].encode() + b"." * shift
    tail, encoded = outputs.as_text(data[-4096:])
    assert not encoded
    assert data.endswith(tail.encode())
    assert len(tail.encode()) > 4092


def test_the_pieces_of_a_large_output_are_one_gzip(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "PIECE", 1000)
    path = tmp_path / "stdout"
    data = os.urandom(4500)
    path.write_bytes(data)
    reading = outputs.Reading(str(path))
    pieces = [reading.piece() for _ in range(5)]
    assert reading.piece() is None
    assert [p.k for p in pieces] == [0, 1, 2, 3, 4]
    assert gzip.decompress(b"".join(p.data for p in pieces)) == data
    said = reading.summary("there")
    reading.close()
    assert said.digest == hashlib.sha256(data).hexdigest()
    assert (said.size, said.stored, said.encoded) == (4500, "there", True)
    assert outputs.from_text(said) == data[-4096:]
    assert outputs.small(str(path)) is None


@pytest.mark.parametrize("read", [0, 1, 2])
def test_an_output_that_could_not_be_stored_is_still_described_whole(tmp_path, monkeypatch, read):
    monkeypatch.setattr(outputs, "PIECE", 3000)
    (tmp_path / "stdout").write_bytes(data := os.urandom(10_000))
    reading = outputs.Reading(str(tmp_path / "stdout"))
    for _ in range(read):
        reading.piece()
    said = reading.summary("")
    reading.close()
    assert (said.size, said.digest, said.stored) == (10_000, hashlib.sha256(data).hexdigest(), "")
    assert outputs.from_text(said) == data[-4096:]


def test_a_file_that_is_not_there_is_an_empty_output(tmp_path):
    assert outputs.small(str(tmp_path / "none")) == outputs.EMPTY
    assert outputs.read_at(str(tmp_path / "none"), 0, 10) == (b"", 0)


def test_an_untouched_set_of_directories_is_used_again(tmp_path):
    dirs = WorkDirs(tmp_path / "w")
    first = dirs.take()
    for stream in (first.stdout, first.stderr):
        with open(stream, "w"):
            pass
    dirs.give_back(first)
    assert dirs.take() == first


@pytest.mark.parametrize("what", ["temp/file", "output/file", "input/sub/", "stdout"])
def test_whatever_a_task_left_is_gone_for_the_next(tmp_path, what):
    dirs = WorkDirs(tmp_path / "w")
    place = dirs.take()
    path = os.path.join(place.root, what)
    if what.endswith("/"):
        os.mkdir(path)
    else:
        with open(path, "w") as file:
            file.write("secret")
    dirs.give_back(place)
    after = dirs.take()
    assert [os.listdir(d) for d in after.places] == [[], [], [], []]
    assert not os.path.exists(after.stdout) or os.path.getsize(after.stdout) == 0


def test_a_process_that_still_has_the_output_open_never_writes_into_the_next_ones(tmp_path):
    dirs = WorkDirs(tmp_path / "w")
    place = dirs.take()
    late = [sys.executable, "-S", "-c", "import sys; sys.stdin.read(); print('late')"]
    with open(place.stdout, "ab") as stdout:
        escaped = subprocess.Popen(late, stdin=subprocess.PIPE, stdout=stdout)
    dirs.give_back(place)
    after = dirs.take()
    escaped.communicate(b"")
    assert not os.path.exists(after.stdout) or os.path.getsize(after.stdout) == 0


def test_a_restart_removes_what_belongs_to_nobody(tmp_path):
    dirs = WorkDirs(tmp_path / "w")
    kept, gone = dirs.take(), dirs.take()
    other = dirs.make("a-7.0.1")
    again = WorkDirs(tmp_path / "w")
    again.reset({kept.name})
    assert os.path.isdir(kept.root)
    assert not os.path.exists(gone.root)
    assert not os.path.exists(other.root)
    assert again.take().name not in (kept.name, gone.name)


async def test_a_folder_of_any_kind_keeps_output(tmp_path):
    store = FolderStore(f"file://{tmp_path}/logs")
    await store.put("1.0.1.stdout.0.gz", gzip.compress(b"0123456789"))
    address = store.address("1.0.1.stdout", 1)
    assert address == f"file://{tmp_path}/logs/1.0.1.stdout#1"
    assert await store.read(address, 3, 4) == b"3456"
    assert await store.drop("1.0.1.stdout") == 1
    await store.close()
    for text in ("logs", "https://h/logs/"):
        with pytest.raises(BadInput, match="LONGSHORE_OUTPUT_STORE"):
            FolderStore(text)


START = Start(3, 2, 103, "s3://b/x.txt")


def environment(spec, start=START, inherited=None):
    order = Order(submission=7, spec=spec, batch="b", user="u", starts=())
    shared = contract.shared_environment(order, HOST, inherited or {})
    return contract.environment(shared, "7.3.2", start, contract.Places("/i", "/o", "/t", "/r"))


def test_a_task_finds_the_variables_of_the_contract():
    assert environment(TaskSpec(command=("true",)), inherited={"PATH": "/bin"}) == {
        "PATH": "/bin",
        **dict.fromkeys(("CPU", "THREADS"), "4"),
        **{f"{lib}_NUM_THREADS": "4" for lib in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
        "MEM": "16000",
        "INPUT": "/i",
        "OUTPUT": "/o",
        "TEMP": "/t",
        "RESOURCE": "/r",
        "LONGSHORE_BATCH": "b",
        "LONGSHORE_SUBMISSION": "7",
        "LONGSHORE_WORKER": "w1",
        "LONGSHORE_TASK": "7.3",
        "LONGSHORE_ATTEMPT": "7.3.2",
        "LONGSHORE_INDEX": "103",
        "LONGSHORE_ENTRY": "s3://b/x.txt",
    }


def test_a_tasks_own_requests_and_variables_win():
    env = environment(
        TaskSpec(command=("true",), cpus=2, memory=5, env={"OMP_NUM_THREADS": "1", "LONGSHORE_TASK": "no"})
    )
    assert (env["CPU"], env["MEM"], env["OMP_NUM_THREADS"], env["LONGSHORE_TASK"]) == ("2", "5", "1", "7.3")


def test_credentials_of_the_agent_are_not_handed_on():
    secrets = {"NATS_CREDS": "x", "AWS_SECRET_ACCESS_KEY": "x", "LONGSHORE_JOIN_SECRET_FILE": "x", "DATABASE_URL": "x"}
    assert contract.kept({**secrets, "PATH": "p", "HOME": "h", "LANG": "C", "LC_ALL": "C"}) == {
        "PATH": "p",
        "HOME": "h",
        "LANG": "C",
        "LC_ALL": "C",
    }


def test_a_shell_command_keeps_its_words_as_parameters():
    assert contract.argv(TaskSpec(command=("echo $1", "a b"), shell=True)) == ["/bin/sh", "-c", "echo $1", "sh", "a b"]
    assert contract.argv(TaskSpec(command=("echo", "{index}"))) == ["echo", "{index}"]


def test_places_in_uris_are_filled_and_a_missing_entry_is_named():
    spec = TaskSpec(command=("x",), inputs=("{entry}",), resources=("file:///r/{name}",), output="file:///o/{index}/")
    filled = contract.located(spec, START)
    assert filled.inputs == ("s3://b/x.txt",)
    assert (filled.resources, filled.output) == (("file:///r/x.txt",), "file:///o/103/")
    with pytest.raises(BadInput, match="entry"):
        contract.located(spec, Start(3, 2, 103))
