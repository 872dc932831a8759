"""Finished submissions and keys behave as in dicts, in a few bytes each; what comes back from a snapshot is the same."""

from hypothesis import given
from hypothesis import strategies as st

from longshore_dispatcher.core.ledger import Keys, Ledger, Numbers
from longshore_dispatcher.core.state import Closed

numbers = st.integers(0, 40) | st.integers(0, 2**64 - 1)
step = st.tuples(st.sampled_from(["put", "drop", "find"]), numbers, st.integers(0, 2**64 - 1))


@given(st.lists(step, max_size=200))
def test_numbers_are_found_as_in_a_dict(steps):
    held, model = Numbers(), {}
    for what, key, value in steps:
        if what == "put":
            held.put(key, value)
            model[key] = value
        elif what == "drop":
            held.drop(key)
            model.pop(key, None)
        assert held.find(key) == model.get(key)
    assert list(held) == sorted(model.items())
    assert len(held) == len(model)
    assert list(Numbers.of(model.items())) == list(held)


def test_blocks_are_split_and_emptied():
    held = Numbers()
    for key in [*range(0, 20_000, 2), *range(1, 20_000, 2)]:
        held.put(key, key + 1)
    assert list(held) == [(key, key + 1) for key in range(20_000)]
    for key in range(20_000):
        held.drop(key)
    assert (list(held), len(held)) == ([], 0)
    held.put(7, 8)
    assert held.find(7) == 8


def closed(sid, *, user="u", batch="b", failed=(), at=0.0, deleted=()):
    runs = list(failed)
    bad = sum(hi - lo + 1 for lo, hi in runs)
    return Closed(sid, user, batch, f"k{sid}", 5, at or float(sid), 5 - bad, runs, deleted=list(deleted))


act = st.tuples(
    st.sampled_from(["close", "fail", "delete", "show", "pop"]),
    st.integers(1, 12),
    st.integers(0, 2),
    st.integers(0, 1),
)


@given(st.lists(act, max_size=60))
def test_a_ledger_is_a_dict_of_records(steps):
    ledger, model = Ledger(), {}
    for what, sid, user, batch in steps:
        if what in ("close", "fail") and sid not in model:
            made = closed(sid, user=f"u{user}", batch=f"b{batch}", failed=[(1, 2)] if what == "fail" else ())
            ledger[sid] = model[sid] = made
        elif what == "pop" and sid in model:
            ledger.pop(sid)
            del model[sid]
        elif what in ("delete", "show") and sid in model:
            known = ledger[sid]
            known.deleted = [(0, 4)] if what == "delete" else []
            ledger[sid] = known
            model[sid].deleted = list(known.deleted)
    check(ledger, model)
    check(Ledger.restored(list(ledger.others.values()), ledger.rows()), model)
    again = Ledger.restored(list(ledger.others.values()), ledger.rows())
    assert (again.rows(), list(again.marks())) == (ledger.rows(), list(ledger.marks()))


def check(ledger, model):
    assert (set(ledger), len(ledger)) == (set(model), len(model))
    for sid, known in model.items():
        assert plain(ledger[sid]) == plain(known)
        assert sid in ledger
    for user in ("u0", "u1", "u2"):
        for batch in ("b0", "b1"):
            wanted = {sid for sid, known in model.items() if (known.user, known.batch) == (user, batch)}
            assert {known.id for known in ledger.of(user, batch)} == wanted
    assert ledger.get(99) is None


def plain(known):
    return known.id, known.user, known.batch, known.size, known.at, known.succeeded, known.failed, known.deleted


def test_the_oldest_go_first_and_room_is_given_back():
    ledger = Ledger()
    for sid in range(1, 50_001):
        ledger[sid] = closed(sid)
    assert ledger.oldest(10.0, 100) == list(range(1, 11))
    assert ledger.oldest(10.0, 3) == [1, 2, 3]
    for sid in range(1, 40_001):
        del ledger[sid]
    assert ledger.oldest(1e9, 2) == [40_001, 40_002]
    assert len(ledger._ids) < 30_000
    assert ledger[45_000].size == 5


def test_keys_are_found_by_user_and_key_and_released_only_by_their_own():
    keys = Keys()
    keys.setdefault("ada/x", 1)
    keys.setdefault("ada/x", 2)
    keys["bob/x"] = 3
    assert ("ada/x" in keys, keys["ada/x"], keys.get("bob/x", 0), keys.get("bob/y", 9), len(keys)) == (True, 1, 3, 9, 2)
    del keys["bob/x"]
    assert "bob/x" not in keys


def test_a_million_finished_submissions_take_less_than_a_hundred_bytes_each():
    ledger = Ledger()
    for sid in range(100_000):
        ledger[sid] = closed(sid)
    columns = (ledger._ids, ledger._at, ledger._sizes, ledger._who, ledger._marks)
    held = sum(column.buffer_info()[1] * column.itemsize for column in columns)
    held += sum(16 * len(block) for block in ledger._place._keys)
    assert held < 100_000 * 60
