"""The fold of users and credentials: the same by events and by rows; an admin is always left, nothing void comes back."""

from hypothesis import given
from hypothesis import strategies as st

from longshore_api.core.memory import Memory
from longshore_api.core.projection import fold
from longshore_api.core.users import Register
from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.subjects import Author

NAMES = st.sampled_from(["ann", "bob"])
IDS = st.sampled_from(["c1", "c2", "c3"])
ROLES = st.sampled_from(["viewer", "user", "admin"])
FACTS = st.one_of(
    st.builds(e.UserAdded, user=NAMES, role=ROLES),
    st.builds(e.UserChanged, user=NAMES, role=ROLES),
    st.builds(e.UserRevoked, user=NAMES),
    st.builds(
        e.CredentialIssued, id=IDS, kind=st.sampled_from(["secret", "nats"]), user=NAMES, role=ROLES,
        parent=st.sampled_from(["", "c1"]), expires=st.sampled_from([0, 50]), public_key=IDS,
    ),
    st.builds(e.CredentialIssued, id=IDS, kind=st.sampled_from(["group", "join"]), role=st.just("viewer")),
    st.builds(e.CredentialExpires, id=IDS, at=st.sampled_from([5.0, 30.0])),
    st.builds(e.CredentialRevoked, id=IDS),
)  # fmt: skip


def state(register: Register) -> object:
    return register.accounts, register.credentials, register.authority.roles


@given(st.lists(FACTS, max_size=25), st.integers(0, 25))
def test_rows_and_the_events_after_them_make_what_all_events_make(facts: list[e.Event], cut: int) -> None:
    whole, memory = Register(), Memory()
    for seq, fact in enumerate(facts, 1):
        whole.take(fact, seq, float(seq))
        if seq <= cut:
            fold(memory, [Recorded(seq, float(seq), Author("api", ""), "log.api.fact", fact, "", "", b"")])
    again = Register()
    for kind, _, value, seq, _, _ in memory.changes.governing.values():
        again.put(kind, value, seq)
    for seq, fact in enumerate(facts, 1):
        if seq > cut:
            again.take(fact, seq, float(seq))
    assert state(again) == state(whole)


@given(st.lists(FACTS, max_size=25))
def test_an_admin_is_left_for_ever_once_there_was_one_and_nothing_revoked_comes_back(facts: list[e.Event]) -> None:
    register = Register()
    void: set[str] = set()
    admins = False
    for seq, fact in enumerate(facts, 1):
        register.take(fact, seq, float(seq))
        now_admins = "admin" in register.authority.roles.values()
        assert now_admins or not admins
        admins = admins or now_admins
        void |= {c.id for c in register.credentials.values() if c.revoked}
        assert all(register.standing(ident, 0.0) is None for ident in void)
        for credential in register.credentials.values():
            if credential.user and register.authority.roles.get(credential.user) is None:
                assert credential.revoked
