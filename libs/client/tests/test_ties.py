"""Tasks that require others of their submission: names and ordinals become edges, in parts that fit."""

import msgspec
import pytest

import longshore
from longshore.lines import from_json_lines
from longshore_common import events as e
from longshore_common import model as m
from longshore_common.adapters.memory_log import Hub
from longshore_common.errors import BadInput
from longshore_common.parts import EDGES, FULL, parts
from longshore_common.ties import Tied

TRUE = m.TaskSpec(command=("true",))


def read(*lines, **defaults):
    return list(parts(from_json_lines(lines, defaults)))


def test_lines_name_themselves_and_what_they_require():
    (part,) = read(
        b'{"id": "join", "requires": ["a", "b"], "command": ["join"]}\n',
        b'{"id": "a", "command": ["fit", "a"]}\n',
        b'{"id": "b", "command": "fit b", "requires": 1}\n',
        b'{"command": ["last"], "requires": [0]}\n',
    )
    assert sorted(part.edges) == [(0, 1), (0, 2), (2, 1), (3, 0)]
    assert [spec.command for spec in part.specs] == [("join",), ("fit", "a"), ("fit b",), ("last",)]
    assert msgspec.json.encode(part.specs[0]) == b'{"command":["join"]}'


def test_options_are_defaults_of_tied_lines_too():
    (part,) = read(b'{"id": "a", "command": ["x"]}\n', b'{"command": ["y"], "requires": ["a"]}\n', cpus=2)
    assert part.edges == ((1, 0),)
    assert {spec.cpus for spec in part.specs} == {2}


def test_an_array_of_objects_may_be_tied():
    (part,) = read(b'[{"id": "a", "command": ["x"]},\n', b' {"command": ["y"], "requires": ["a"]}]\n')
    assert part.edges == ((1, 0),)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([b'{"command": ["x"]}', b'{"command": ["y"], "requires": ["zz"]}'], "line 2: it requires 'zz', and no task"),
        ([b'{"id": "a", "command": ["x"]}', b'{"id": "a", "command": ["y"]}'], "line 2: the id 'a' is that of task 0"),
        ([b'{"id": "a", "command": ["x"], "requires": ["a"]}'], "line 1: .* the task itself"),
        ([b'{"command": ["x"], "requires": [-1]}'], "line 1: .* ordinals count from 0"),
        ([b'{"id": 7, "command": ["x"]}'], "line 1: a task's id is a text"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(lines, words):
    with pytest.raises(BadInput, match=words):
        read(*lines)


def test_parts_stay_small_however_many_edges_there_are():
    many = 30_000
    tasks = [Tied(TRUE, requires=tuple(range(1, many)))] + [TRUE] * (many - 1)
    made = list(parts(tasks))
    assert sum(len(part.specs) for part in made) == many
    edges = [edge for part in made for edge in part.edges]
    assert edges == [(0, r) for r in range(1, many)]
    assert max(len(part.edges) for part in made) <= EDGES
    assert max(len(msgspec.json.encode(part)) for part in made) < FULL + 50_000


def test_edges_to_later_tasks_come_with_the_last_parts():
    count = 25_000
    chain = (Tied(TRUE, f"t{k}", (f"t{k + 1}",) if k + 1 < count else ()) for k in range(count))
    made = list(parts(chain))
    assert [edge for part in made for edge in part.edges] == [(k, k + 1) for k in range(count - 1)]
    assert made[-1].specs == ()
    assert all(part.specs for part in made[:25])


@pytest.fixture
async def client(tmp_path, profile):
    hub = Hub()
    async with longshore.AsyncClient(
        tmp_path, environ={}, profile=profile, transport=hub.connect("user", "ada")
    ) as opened:
        yield opened, hub


async def test_a_graph_is_submitted_as_one(client):
    one, hub = client
    graph = longshore.Graph()
    fits = [graph.add(["fit", str(k)]) for k in range(3)]
    graph.add(["join"], requires=fits, memory="1G")
    await one.submit_many(graph, on_failed_requirement="wait", requires_any_outcome=True)
    (event,) = [record.event for record in hub.records]
    assert isinstance(event, e.TasksSubmitted)
    assert event.on_failed_requirement == "wait"
    assert event.body.edges == ((3, 0), (3, 1), (3, 2))
    assert event.body.specs[3].memory == 1 << 30


async def test_a_large_graph_says_how_many_edges_its_parts_bring(client):
    one, hub = client
    await one.submit_many([{"command": ["a"], "requires": [k - 1] if k else []} for k in range(2500)])
    events = [record.event for record in hub.records]
    assert events[-1].body == m.Parts(parts=3, size=2500, edges=2499)
    assert sum(len(event.edges) for event in events[:-1]) == 2499
