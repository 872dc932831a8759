"""What is given up when room is needed: a model in lists says the same as the shelf."""

from hypothesis import given
from hypothesis import strategies as st

from longshore_agent.core.shelf import Shelf

NAMES, USERS = st.sampled_from("abcdef"), st.sampled_from(["u", "v"])
STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.integers(0, 9)),
    st.tuples(st.just("touch"), NAMES),
    st.tuples(st.just("hold"), NAMES, USERS),
    st.tuples(st.just("release"), USERS),
    st.tuples(st.just("drop"), NAMES),
)


class Model:
    """A list in order of use, and a set of (name, user)."""

    def __init__(self):
        self.order, self.uses = [], set()

    def put(self, name, size):
        self.drop(name)
        self.order.append((name, size))

    def touch(self, name):
        self.order.sort(key=lambda one: one[0] == name)

    def hold(self, name, user):
        self.uses.add((name, user))

    def release(self, user):
        before = {n for n, _ in self.uses}
        self.uses = {u for u in self.uses if u[1] != user}
        return before - {n for n, _ in self.uses}

    def drop(self, name):
        self.order = [one for one in self.order if one[0] != name]

    def victims(self, wanted):
        chosen = []
        for name, size in self.order:
            if wanted > 0 and name not in {n for n, _ in self.uses}:
                chosen.append(name)
                wanted -= size
        return chosen


@given(st.lists(STEPS), st.integers(0, 40), st.integers(0, 30), st.integers(0, 30))
def test_the_least_recently_used_that_nobody_uses_go_first_and_no_more_than_needed(steps, most, lacking, wanted):
    shelf, model = Shelf(most), Model()
    for verb, *arguments in steps:
        if verb == "touch" and arguments[0] not in shelf:
            continue
        done, expected = getattr(shelf, verb)(*arguments), getattr(model, verb)(*arguments)
        if verb == "release":
            assert set(done) == expected
    total = sum(size for _, size in model.order)
    assert (shelf.size, len(shelf)) == (total, len(model.order))
    assert shelf.excess(lacking) == max(0, lacking, total - most if most else 0)
    assert shelf.victims(wanted) == model.victims(wanted)


def test_what_is_in_use_is_never_given_up_and_goes_when_it_is_not():
    shelf = Shelf(10)
    shelf.put("large", 100)
    shelf.hold("large", "u")
    shelf.hold("large", "v")
    assert shelf.victims(shelf.excess()) == []
    assert shelf.release("u") == []
    assert shelf.release("v") == ["large"]
    assert shelf.victims(shelf.excess()) == ["large"]
