"""What a TES task means here: every field finds its place, faults are named by field, contents stay out of the log."""

import json
from typing import Any

import msgspec
import pytest

from longshore_api.adapters.tes import mapping, parameters, wire
from longshore_api.adapters.tes.mapping import Content
from longshore_common import codec
from longshore_common.errors import BadInput
from longshore_common.events import TasksSubmitted
from longshore_common.model import Array, Collect, Mount, Step, TaskSpec

EXECUTOR = {"image": "alpine", "command": ["true"]}


def kept(body: bytes) -> Content:
    return Content(f"{len(body):016x}", f"http://api/api/v1/contents?token=t{len(body)}", body)


def made(**task: Any) -> mapping.Created:
    body = json.dumps({"executors": [EXECUTOR], **task}).encode()
    return mapping.created(wire.read(body), "k", kept)


def spec(event: TasksSubmitted) -> TaskSpec:
    assert isinstance(event.body, Array)
    return event.body.spec


def told(event: TasksSubmitted) -> Any:
    return event.document["tes"]


def test_a_whole_task_becomes_steps_mounts_collects_and_volumes() -> None:
    event, contents = made(
        name="whole",
        description="all there is",
        tags={"project": "p", "empty": None},
        volumes=["/vol/a/"],
        executors=[
            {
                "image": "ubuntu", "command": ["md5sum", "/data/in"], "workdir": "/", "stdin": "/data/in",
                "stdout": "/out/sum", "stderr": "/out/err", "env": {"A": "1", "B": None}, "ignore_error": True,
            },
            EXECUTOR,
        ],
        inputs=[
            {"path": "/data/in", "url": "s3://b/in"},
            {"path": "/data/dir", "url": "/nfs/dir", "type": "DIRECTORY"},
            {"path": "/data/script", "content": "echo hällo", "url": "s3://is/passed/over", "name": "script"},
            {"path": "/data/empty", "content": ""},
        ],
        outputs=[
            {"path": "/out/sum", "url": "s3://b/sum"},
            {"path": "/out/tree", "url": "s3://b/tree", "type": "DIRECTORY"},
            {"path": "/out/*.txt", "url": "s3://b/texts", "path_prefix": "/out/"},
        ],
        resources={"cpu_cores": 4, "ram_gb": 1.5, "disk_gb": 10, "preemptible": True},
    )  # fmt: skip
    of = spec(event)
    assert of.steps == (
        Step(
            command=("md5sum", "/data/in"), container="ubuntu", workdir="/", stdin="/data/in", stdout="/out/sum",
            stderr="/out/err", env={"A": "1", "B": ""}, ignore_error=True,
        ),
        Step(command=("true",), container="alpine"),
    )  # fmt: skip
    assert (of.command, of.container, of.name) == (("md5sum", "/data/in"), "ubuntu", "whole")
    script, empty = kept("echo hällo".encode()), kept(b"")
    assert of.mounts == (
        Mount(uri="s3://b/in", path="/data/in"),
        Mount(uri="file:///nfs/dir/", path="/data/dir", directory=True),
        Mount(uri=script.url, path="/data/script"),
        Mount(uri=empty.url, path="/data/empty"),
    )
    assert of.collects == (
        Collect(path="/out/sum", uri="s3://b/sum"),
        Collect(path="/out/tree", uri="s3://b/tree/", directory=True),
        Collect(path="/out/*.txt", uri="s3://b/texts/", prefix="/out"),
    )
    assert of.volumes == ("/vol/a",)
    assert (of.cpus, of.memory, of.disk) == (4, 1_500_000_000, 10_000_000_000)
    assert contents == [script, empty]
    assert (event.batch, event.key, event.name, event.tags) == ("tes", "k", "whole", {"project": "p", "empty": ""})


def test_no_content_is_in_the_event_and_what_is_shown_again_is_what_was_posted() -> None:
    posted = {
        "name": "n", "inputs": [{"path": "/a", "content": "s3cr3t", "description": "d"}, {"path": "/b", "url": "s3://b/b"}],
        "resources": {"zones": ["here"], "backend_parameters": {"Retry": "2", "odd": "1"}},
    }  # fmt: skip
    event, contents = made(**posted)
    body, _ = codec.encode(event)
    assert b"s3cr3t" not in body
    assert [c.body for c in contents] == [b"s3cr3t"]
    assert told(event)["task"] == {
        "name": "n", "executors": [EXECUTOR],
        "inputs": [
            {"path": "/a", "content": "", "description": "d", "type": "FILE"},
            {"path": "/b", "url": "s3://b/b", "type": "FILE"},
        ],
        "resources": {"zones": ["here"], "backend_parameters": {"Retry": "2"}},
    }  # fmt: skip
    assert told(event)["contents"] == {"0": contents[0].id}
    assert list(told(event)["warnings"]) == [
        "backend_parameters: 'odd' is not supported and was left out", "resources.zones are not used here",
    ]  # fmt: skip


def test_whole_cores_are_shown_as_whole_numbers_and_sizes_are_not() -> None:
    for cores, shown in ((2, "2"), (2.0, "2"), (0.5, "0.5")):
        event, _ = made(resources={"cpu_cores": cores, "ram_gb": 4})
        assert json.dumps(told(event)["task"]["resources"]) == f'{{"cpu_cores": {shown}, "ram_gb": 4.0}}'
        assert spec(event).cpus == cores


def test_explicit_nulls_and_read_only_and_unknown_fields_are_passed_over() -> None:
    nulls = dict.fromkeys(
        ("id", "state", "logs", "name", "inputs", "outputs", "volumes", "tags", "resources", "creation_time")
    )
    executor = EXECUTOR | dict.fromkeys(("workdir", "stdin", "stdout", "stderr", "env", "ignore_error"))
    event, _ = made(**nulls, executors=[executor], novelty={"a": [1]})
    assert told(event)["task"] == {"executors": [EXECUTOR]}
    assert spec(event).steps == (Step(command=("true",), container="alpine"),)


def test_backend_parameters_are_case_insensitive_and_mean_what_they_say() -> None:
    asked = {"RETRY": "3", "Gpu": "2", "batch": "night", "Priority": "-5", "walltime": "1h30m", "preemption": "stop"}
    event, _ = made(resources={"backend_parameters": asked, "backend_parameters_strict": True})
    of = spec(event)
    assert (of.retries, of.gpus, of.run_timeout, of.retry_on) == (3, 2, 5400, {"evicted": 0})
    assert (event.batch, event.priority) == ("night", -5)
    assert set(parameters.KNOWN) == {"retry", "gpu", "batch", "priority", "walltime", "preemption"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("2d", 172_800), ("01:30", 5400), ("12:00:00", 43_200), ("1-00:00:01", 86_401)],
)
def test_a_walltime_may_be_written_in_each_of_the_usual_ways(text: str, seconds: float) -> None:
    event, _ = made(resources={"backend_parameters": {"walltime": text}})
    assert spec(event).run_timeout == seconds


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ({"executors": []}, "executors"),
        ({"executors": [{"image": "", "command": ["a"]}]}, r"executors\[0\]\.image"),
        ({"executors": [{"image": "a", "command": []}]}, r"executors\[0\]\.command"),
        ({"executors": [{"command": ["a"]}]}, r"image.*executors\[0\]"),
        ({"executors": [EXECUTOR | {"stdin": "relative"}]}, r"executors\[0\]\.stdin"),
        ({"executors": [EXECUTOR | {"env": {"a=b": "c"}}]}, r"executors\[0\]\.env"),
        ({"executors": "x"}, "executors"),
        ({"inputs": [{"path": "/a"}]}, r"inputs\[0\]"),
        ({"inputs": [{"path": "a", "url": "s3://b/c"}]}, r"inputs\[0\]\.path"),
        ({"inputs": [{"path": "/a/../b", "url": "s3://b/c"}]}, r"inputs\[0\]\.path"),
        ({"inputs": [{"path": "/a", "url": "b/c"}]}, r"inputs\[0\]\.url"),
        ({"inputs": [{"path": "/a", "url": "http://h/d/", "type": "DIRECTORY"}]}, r"inputs\[0\]\.url.*folders"),
        ({"inputs": [{"path": "/a", "url": "s3://b/c", "type": "LINK"}]}, r"inputs\[0\]\.type"),
        ({"inputs": [{"path": "/a", "content": "x", "type": "DIRECTORY"}]}, r"inputs\[0\]\.type"),
        ({"inputs": [{"path": "/a", "url": "s3://b/c"}, {"path": "//a", "url": "s3://b/d"}]}, "inputs.*twice"),
        ({"outputs": [{"path": "/a/*", "url": "s3://b/c"}]}, r"outputs\[0\]\.path_prefix"),
        ({"outputs": [{"path": "/a/*", "url": "s3://b/c", "path_prefix": "/b"}]}, r"outputs\[0\]\.path_prefix"),
        ({"outputs": [{"path": "/a", "url": "http://h/c"}]}, r"outputs\[0\]\.url.*only be read"),
        ({"outputs": [{"path": "/a", "url": "s3://b/c/"}]}, r"outputs\[0\]\.url.*DIRECTORY"),
        ({"volumes": ["vol"]}, r"volumes\[0\]"),
        ({"resources": {"cpu_cores": -1}}, r"resources\.cpu_cores"),
        ({"resources": {"ram_gb": 1e30}}, r"resources\.ram_gb"),
        ({"resources": {"backend_parameters": {"x": "1"}, "backend_parameters_strict": True}}, "'x' is not supported"),
        ({"resources": {"backend_parameters": {"gpu": "many"}}}, r"backend_parameters\.gpu"),
        ({"resources": {"backend_parameters": {"walltime": "soon"}}}, r"backend_parameters\.walltime"),
        ({"resources": {"backend_parameters": {"walltime": "0"}}}, r"backend_parameters\.walltime"),
        ({"resources": {"backend_parameters": {"batch": "a\nb"}}}, r"backend_parameters\.batch"),
        ({"resources": {"backend_parameters": {"preemption": "maybe"}}}, r"backend_parameters\.preemption"),
        ({"name": "a\0b"}, "NUL"),
        ({"tags": {"k\0": "v"}}, "NUL"),
        ({"description": "x" * 1_100_000}, "bytes beside its contents"),
        ({"volumes": ["/etc"]}, "/etc"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(task: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        made(**task)


def test_a_large_content_counts_nowhere_in_the_event() -> None:
    event, contents = made(inputs=[{"path": "/a", "content": "x" * 2_000_000}])
    assert len(codec.encode(event)[0]) < 2_000
    assert len(contents[0].body) == 2_000_000


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'"x"', b"\xff", b'{"executors":' + b"[" * 100_000])
def test_a_body_that_is_no_task_is_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput, match="no TES task"):
        wire.read(body)


def test_the_event_stays_readable() -> None:
    event, _ = made(inputs=[{"path": "/a", "content": "x"}], tags={"a": "b"})
    body, headers = codec.encode(event)
    assert codec.decode("log.user.ann.wish", body, headers)[1] == event
    assert msgspec.json.decode(body)["document"]["tes"]["contents"] == {"0": f"{1:016x}"}
