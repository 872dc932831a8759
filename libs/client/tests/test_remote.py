"""Who is given remotes, and that each gets a box of its own."""

import pytest

from longshore import sharing
from longshore.records import Worker
from longshore_common.adapters import nats_keys
from longshore_common.errors import BadInput
from longshore_data.remotes import read
from longshore_data.sealing import open_box

CONFIG = "[far]\ntype = sftp\npass = geheim\n"


def worker(name="w1", state="up", seed=None, **facts):
    key = nats_keys.public_key(seed or nats_keys.make_seed("user"))
    return Worker(name=name, state=state, public_key=key, facts=facts)


def test_each_worker_gets_a_box_that_it_alone_opens():
    seeds = [nats_keys.make_seed("user") for _ in range(3)]
    (event,) = sharing.sealed(read(CONFIG), [worker(f"w{k}", seed=seed) for k, seed in enumerate(seeds)])
    assert [box.worker for box in event.boxes] == ["w0", "w1", "w2"]
    for box, seed in zip(event.boxes, seeds, strict=True):
        assert read(open_box(box.box, seed)).names == ("far",)
    with pytest.raises(BadInput):
        open_box(event.boxes[0].box, seeds[1])


def test_many_workers_take_several_events_none_of_which_is_too_large(monkeypatch):
    monkeypatch.setattr(sharing, "ROOM", 1000)
    workers = [worker(f"w{k}") for k in range(20)]
    events = list(sharing.sealed(read(CONFIG), workers))
    assert len(events) > 2
    assert [box.worker for e in events for box in e.boxes] == [w.name for w in workers]
    assert all(sum(len(b.box) for b in e.boxes) <= 1000 for e in events)
    with pytest.raises(BadInput, match="--only"):
        list(sharing.sealed(read(CONFIG + f"key = {'x' * 1000}\n"), workers))


def test_all_means_those_that_have_joined_with_a_key_and_the_others_are_told():
    keyless = Worker(name="w3", state="up")
    found = sharing.meant([worker("w1"), worker("w2", "enrolled"), keyless, worker("w4", "lost")], [])
    assert [w.name for w in found.workers] == ["w1", "w4"]
    assert [line.split()[0] for line in found.others] == ["w2", "w3"]
    with pytest.raises(BadInput, match="RCLONE_CONFIG"):
        sharing.meant([keyless], ["w3"])
    with pytest.raises(BadInput, match="known are w1"):
        sharing.meant([worker("w1")], ["w1", "w9"])


def test_the_schemes_of_a_worker_are_those_of_its_host_facts():
    assert sharing.schemes(worker(schemes=["a", "b"])) == ("a", "b")
    assert sharing.schemes(worker()) == ()
