"""Who used how much, and whose turn it is: weighted fair share between users, then between the batches of each.

Use is seconds times the dominant share of what attempts hold: the largest of their parts of all CPUs, memory, GPUs, disk
and custom resources of the workers that are up (Ghodsi et al., Dominant Resource Fairness, NSDI 2011, section 4). It
decays by half in `Policy.half_life`, as in Slurm's priority/multifactor and HTCondor's user priorities. A task that asks
for nothing counts as one CPU. What must not enter: placing.
"""

from math import exp2, expm1, log
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from longshore_common.model import Share
from longshore_dispatcher.core.content import Need
from longshore_dispatcher.core.load import Sum

if TYPE_CHECKING:
    from longshore_dispatcher.core.roster import Total
    from longshore_dispatcher.core.state import State, Submission, Task

LN2: Final = log(2)
#: Seconds that a task is expected to run while nothing is known of its like.
UNKNOWN: Final = 1.0
#: Weight of the newest pace of a submission in those of its user and batch.
NEWEST: Final = 0.2
#: Accounts that are kept; beyond it those with the least use go, unless attempts are held.
ACCOUNTS: Final = 20_000
_AS_ANY_OTHER: Final = Share()


class Account(Struct, array_like=True):
    """Decayed use up to instant `at`, and a moving average of run times in seconds, negative while unknown."""

    amount: float = 0.0
    at: float = 0.0
    pace: float = -1.0


class Hold:
    """What attempts of a user or batch hold on workers, derived: `placed` in all; `plain` ones by phase (0 not started, 1
    running), and the sums of what the others ask for.
    """

    __slots__ = ("account", "placed", "plain", "sums")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.placed = 0
        self.plain = [0, 0]
        self.sums: list[Sum | None] = [None, None]

    def count(self, phase: int, need: Need | None, count: int) -> None:
        """So many attempts more (or, below 0, less) in this phase; `need` None: they ask for nothing but a slot."""
        if need is None:
            self.plain[phase] += count
            return
        held = self.sums[phase]
        if held is None:
            held = self.sums[phase] = Sum()
        held.charge(need, count)
        if not held.asking:
            self.sums[phase] = None

    def share(self, total: "Total", phase: int) -> float:
        """The dominant share of what is held in this phase."""
        held = self.sums[phase]
        if held is None:
            return self.plain[phase] * 1000 / total.cpus if total.cpus else 0.0
        return dominant(total, held, self.plain[phase] * 1000)


class Books(NamedTuple):
    """Where an attempt is counted: for its user, for its user's part of the batch, and for the batch as a whole, of which
    only matters how many there are.
    """

    user: Hold
    part: Hold
    batch: Hold


def dominant(total: "Total", asked: Sum | Need, plain: int = 0) -> float:
    """The largest share of anything that this much of everything (and `plain` thousandths of CPUs more) has of the total."""
    best = (asked.cpus + plain) / total.cpus if total.cpus else 0.0
    if asked.memory and total.memory:
        best = max(best, asked.memory / total.memory)
    if asked.gpus and total.gpus:
        best = max(best, asked.gpus / total.gpus)
    if asked.disk and total.disk:
        best = max(best, asked.disk / total.disk)
    for name, amount in asked.custom.items() if isinstance(asked, Sum) else asked.custom:
        if has := total.custom.get(name):
            best = max(best, amount / has)
    return best


def one(total: "Total", need: Need) -> float:
    """The dominant share of one task of this need (without alternatives)."""
    return dominant(total, need, 1000 if need.plain else 0)


# --- folding --------------------------------------------------------------------------------------------------------


def begun(state: "State", sub: "Submission", need: Need | None, count: int) -> None:
    """So many attempts of this need were assigned."""
    if count:
        mine = books(state, sub)
        mine.batch.placed += count
        for hold in mine[:2]:
            hold.placed += count
            hold.count(0, need, count)


def moved(state: "State", sub: "Submission", task: "Task", phases: tuple[int, int]) -> None:
    """A placed attempt went from one phase to a later one."""
    before, after = phases
    mine = state.books[(sub.user, sub.batch)]
    _settle(state, mine)
    for hold in mine[:2]:
        hold.count(before, task.need, -1)
        if after < 2:
            hold.count(after, task.need, 1)


def lifted(state: "State", sub: "Submission", task: "Task", phase: int) -> None:
    """A placed attempt that was in this phase is not on its worker any more."""
    mine = state.books[(sub.user, sub.batch)]
    mine.batch.placed -= 1
    if phase == 1:
        _settle(state, mine)
    for hold in mine[:2]:
        hold.placed -= 1
        if phase < 2:
            hold.count(phase, task.need, -1)
    if not mine.part.placed:
        del state.books[(sub.user, sub.batch)]
        for kind, name, hold in (("user", sub.user, mine.user), ("batch", sub.batch, mine.batch)):
            if not hold.placed:
                del state.holds[(kind, name)]


def restored(state: "State", sub: "Submission", task: "Task", phase: int) -> None:
    """A placed attempt of a snapshot is counted again; what it used is written down already."""
    mine = books(state, sub)
    mine.batch.placed += 1
    for hold in mine[:2]:
        hold.placed += 1
        if phase < 2:
            hold.count(phase, task.need, 1)


def ran(state: "State", sub: "Submission", need: Need | None, seconds: float) -> None:
    """An attempt ran for so long without having been seen to run."""
    total = state.roster.total
    used = seconds * (1000 / total.cpus if need is None and total.cpus else one(total, need) if need else 0.0)
    mine = state.books.get((sub.user, sub.batch))
    part = mine.part if mine is not None else None
    for key, hold in (((sub.user, ""), state.holds.get(("user", sub.user))), ((sub.user, sub.batch), part)):
        account = _account(state, key)
        _write(state, account, hold)
        account.amount += used


def learn(state: "State", sub: "Submission") -> None:
    """Its pace is known, or has changed."""
    for key in ((sub.user, ""), (sub.user, sub.batch)):
        if (account := state.usage.get(key)) is not None:
            known = account.pace >= 0
            account.pace = account.pace + NEWEST * (sub.pace - account.pace) if known else sub.pace


def books(state: "State", sub: "Submission") -> Books:
    """Where attempts of this submission are counted."""
    found = state.books.get((sub.user, sub.batch))
    if found is None:
        found = state.books[(sub.user, sub.batch)] = Books(
            _hold(state, "user", sub.user, (sub.user, "")),
            Hold(_account(state, (sub.user, sub.batch))),
            _hold(state, "batch", sub.batch, None),
        )
    return found


def _hold(state: "State", kind: str, name: str, account: tuple[str, str] | None) -> Hold:
    hold = state.holds.get((kind, name))
    if hold is None:
        hold = state.holds[(kind, name)] = Hold(Account() if account is None else _account(state, account))
    return hold


def _account(state: "State", key: tuple[str, str]) -> Account:
    account = state.usage.get(key)
    if account is None:
        if len(state.usage) >= ACCOUNTS:
            _forget(state)
        account = state.usage[key] = Account(at=state.at)
    return account


def _forget(state: "State") -> None:
    """Drop half of the accounts that hold nothing, those with the least use."""
    held = {(user, "") for kind, user in state.holds if kind == "user"} | set(state.books)
    free = [key for key in state.usage if key not in held]
    free.sort(key=lambda key: _used(state, state.usage[key], 0.0, state.at))
    for key in free[: len(free) // 2]:
        del state.usage[key]


def _settle(state: "State", mine: Books) -> None:
    """Write down what was used up to now."""
    for hold in (mine.user, mine.part):
        if state.at > hold.account.at:
            _write(state, hold.account, hold)


def _write(state: "State", account: Account, hold: Hold | None) -> None:
    if state.at > account.at:
        rate = hold.share(state.roster.total, 1) if hold is not None else 0.0
        account.amount, account.at = _used(state, account, rate, state.at), state.at


def _used(state: "State", account: Account, rate: float, now: float) -> float:
    """Decayed use at `now` of somebody who has held `rate` of everything since the account was written.

    U(t) = U(s) 2^(-(t-s)/h) + rate h/ln 2 (1 - 2^(-(t-s)/h)), with half-life h.
    """
    halves = max(0.0, now - account.at) / state.policy.half_life
    used = account.amount * exp2(-halves)
    return used - rate * state.policy.half_life / LN2 * expm1(-halves * LN2) if rate else used


# --- asking ---------------------------------------------------------------------------------------------------------


def share_of(state: "State", kind: str, name: str) -> Share:
    """What a user or batch gets beside others."""
    return state.shares.get((kind, name), _AS_ANY_OTHER)


def placed(state: "State", kind: str, name: str) -> int:
    """How many tasks of a user or batch are on workers."""
    hold = state.holds.get((kind, name))
    return 0 if hold is None else hold.placed


def user_score(state: "State", user: str, now: float) -> float:
    """Use over weight of a user, with what its attempts on workers are expected to use still; the lowest is next."""
    account = state.usage.get((user, ""))
    if account is None:
        return 0.0
    return _score(state, account, state.holds.get(("user", user)), now) / share_of(state, "user", user).weight


def batch_score(state: "State", user: str, batch: str, now: float) -> float:
    """The same of a user's part of a batch."""
    account = state.usage.get((user, batch))
    if account is None:
        return 0.0
    books = state.books.get((user, batch))
    held = books.part if books is not None else None
    return _score(state, account, held, now) / share_of(state, "batch", batch).weight


def _score(state: "State", account: Account, hold: Hold | None, now: float) -> float:
    if hold is None:
        return _used(state, account, 0.0, now)
    total = state.roster.total
    running = hold.share(total, 1)
    pace = account.pace if account.pace >= 0 else UNKNOWN
    # what has not begun will take its time, what runs is half through on average
    return _used(state, account, running, now) + (hold.share(total, 0) + running / 2) * pace


class Position(NamedTuple):
    """A batch's place in line: `users` of `of_users` with work of this priority are before its user, `batches` of
    `of_batches` of that user before it; `used` and `weight` of the user.
    """

    users: int
    of_users: int
    batches: int
    of_batches: int
    used: float
    weight: float


def position(state: "State", sub: "Submission", now: float) -> Position:
    """Where a submission's batch stands by fair share among those that have tasks of its priority in line."""
    users = state.queue.tree.get(-sub.priority, {})
    batches = users.get(sub.user, {})
    mine, part = user_score(state, sub.user, now), batch_score(state, sub.user, sub.batch, now)
    return Position(
        sum((user_score(state, user, now), user) < (mine, sub.user) for user in users), len(users),
        sum((batch_score(state, sub.user, b, now), b) < (part, sub.batch) for b in batches), len(batches),
        mine, share_of(state, "user", sub.user).weight,
    )  # fmt: skip
