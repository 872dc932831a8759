"""From words to specs: the border is strict, and says what it wants."""

import json

import pytest

from longshore import lines, specs
from longshore_common.errors import BadInput
from longshore_common.model import TaskSpec


def made_of(*texts):
    return list(lines.from_json_lines([text.encode() + b"\n" for text in texts], {}))


def test_a_command_is_kept_to_the_byte():
    words = ["printf", "a b", "it's", '"q"', "$HOME", "é漢", "x\ny", "", "*", "-n", "--"]
    assert specs.spec(words).command == tuple(words)


def test_a_command_given_as_one_string_is_run_by_the_shell():
    assert specs.spec("echo a | wc") == TaskSpec(command=("echo a | wc",), shell=True)


def test_sizes_and_durations_are_read():
    made = specs.spec(["x"], memory="4G", run_timeout="1h30m", disk=7)
    assert (made.memory, made.run_timeout, made.disk) == (4 << 30, 5400, 7)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"cpuz": 1}, "cpuz"), ({"cpus": "many"}, "cpus"), ({"retries": -1}, "retries"), ({"uid": -1}, "uid"),
     ({"inputs": 3}, "inputs"), ({"use_cache": True}, "use-cache"), ({"memory": "lots"}, "size")],
)  # fmt: skip
def test_what_is_wrong_is_named(options, said):
    with pytest.raises(BadInput, match=said):
        specs.spec(["x"], **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"inputs": ["s3:/bucket/a"]}, "two slashes"), ({"inputs": ["data/a"]}, "not a URI"),
     ({"resources": ["s3://b/x|untarr"]}, "untarr"), ({"resources": ["https://host/"]}, "no folders"),
     ({"output": "https://host/a"}, "only be read"), ({"output": "s3://b/.longshore/x"}, "unpublished"),
     ({"output": "s3://b/x|untar"}, "only inputs"), ({"inputs": ["s3://b/{entry}|unzipp"]}, "unzipp"),
     ({"checkpoint": "state"}, "--output"), ({"checkpoint": "/abs", "output": "s3://b/o"}, "relative"),
     ({"checkpoint": "a/../../b", "output": "s3://b/o"}, "relative"), ({"stop_signal": "SIGNOPE"}, "no signal"),
     ({"grace": -1}, "grace|negative"), ({"pull": "often"}, "pull")],
)  # fmt: skip
def test_what_no_agent_could_do_is_refused_where_it_was_typed(options, said):
    with pytest.raises(BadInput, match=said):
        specs.spec(["x"], **options)
    with pytest.raises(BadInput, match=f"line 1.*({said})"):
        list(lines.from_json_lines([json.dumps({"command": ["x"], **options}).encode()], {}))


@pytest.mark.parametrize(
    "word", ["s3://{entry}", "file://{entry}", "{entry}", "https://host/{entry}.gz|gunzip", "s3://b/{index}/{name}"]
)
def test_what_an_entry_decides_is_left_to_the_task(word):
    assert specs.spec(["x"], inputs=[word]).inputs == (word,)


def test_how_a_task_is_stopped_is_read_as_people_write_it():
    made = specs.spec(["x"], output="s3://b/o", checkpoint="state/", stop_signal="usr1", grace="1m30s", pull="always")
    assert (made.stop_signal, made.grace, made.pull, made.checkpoint) == ("SIGUSR1", 90, "always", "state/")


def test_no_command_is_refused():
    with pytest.raises(BadInput, match="command"):
        specs.spec([])


def test_nul_and_lone_surrogates_are_refused():
    with pytest.raises(BadInput, match="NUL"):
        specs.spec(["a\0b"])
    with pytest.raises(BadInput, match="NUL"):
        specs.spec(["a"], env={"X": "\0"})
    with pytest.raises(BadInput, match="UTF-8"):
        specs.spec(["a\udcff"])


def test_an_argument_that_linux_cannot_pass_is_refused_with_the_limit():
    assert specs.spec(["x" * specs.MAX_ARGUMENT])
    with pytest.raises(BadInput, match="131,071"):
        specs.spec(["cat", "x" * (specs.MAX_ARGUMENT + 1)])
    with pytest.raises(BadInput, match="10,000,000 bytes"):
        specs.spec(["cat", "x" * 10_000_000])
    with pytest.raises(BadInput, match="1,048,576"):
        specs.spec(["x" * 100_000] * 11)


def test_json_lines_are_specs_in_order():
    made = made_of('{"command":["a"]}', "", '{"command":"b | c","memory":"1G"}', '{"command":["d"],"input":"s3://x/y"}')
    assert [spec.command for spec in made] == [("a",), ("b | c",), ("d",)]
    assert (made[1].shell, made[1].memory, made[2].inputs) == (True, 1 << 30, ("s3://x/y",))


def test_an_array_of_objects_is_taken_too():
    assert [s.command for s in made_of("[", '{"command":["a"]},', '{"command":["b"]}', "]")] == [("a",), ("b",)]


def test_options_are_defaults_of_each_object():
    made = list(lines.from_json_lines([b'{"command":["a"],"cpus":4,"env":{"B":"2"}}'], {"cpus": 1, "env": {"A": "1"}}))
    assert (made[0].cpus, made[0].env) == (4, {"A": "1", "B": "2"})


@pytest.mark.parametrize(
    "line", ["{", "3", '{"cmd":["a"]}', '{"command":[]}', '{"command":[1]}', '{"command":["\\u0000"]}']
)
def test_a_wrong_line_is_told_by_its_number(line):
    with pytest.raises(BadInput, match="line 2:"):
        made_of('{"command":["a"]}', line)


@pytest.mark.parametrize("word", ["s3:/lab/x", "https@aria2:/host/x", "my-remote:/x"])
def test_a_uri_with_one_slash_is_no_path(word):
    with pytest.raises(BadInput, match=f"write {word.replace(':/', '://')}, or ./{word}"):
        specs.uris([word], cwd="/w")


def test_a_path_with_a_colon_may_be_meant():
    assert specs.uris(["./s3:/x", "a:b/c", "d:"], cwd="/w") == ["file:///w/s3:/x", "file:///w/a:b/c", "file:///w/d:"]


def test_several_uris_in_one_word_are_parted_and_paths_with_spaces_are_not():
    assert specs.uris(["s3://a/b s3://c/d"], cwd="/w") == ["s3://a/b", "s3://c/d"]
    assert specs.uris(["my file.txt", "/x/", "{entry}"], cwd="/w") == ["file:///w/my file.txt", "file:///x/", "{entry}"]


def test_lines_become_entries_without_their_ends():
    assert lines.entries([b"a\n", b"b c\r\n", b"\n", b"last"]) == ["a", "b c", "", "last"]
    with pytest.raises(BadInput, match="line 2 is not UTF-8"):
        lines.entries([b"a\n", b"\xff\n"])
    with pytest.raises(BadInput, match="no lines"):
        lines.entries([])


@pytest.mark.parametrize("line", [b'{"command": ["\xff"]}', b'{"command": ' + b"[" * 100_000, b'{"com\xffmand": 1}'])
def test_lines_that_no_decoder_takes_are_told_by_their_number(line):
    good = b'{"command": ["true"]}\n'
    with pytest.raises(BadInput, match="line 2"):
        list(lines.from_json_lines([good, line + b"\n"], {}))
    with pytest.raises(BadInput, match="array"):
        list(lines.from_json_lines([b"[" + line + b"]"], {}))
