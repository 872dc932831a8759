"""What batches and users get beside others, and the operator's policy: how they are asked for and answered.

What must not enter: how they take effect (`shares`, `judge`, `trust`).
"""

from math import isfinite

import msgspec

from longshore_common import events as e
from longshore_common.log import Recorded
from longshore_common.model import Policy, Share
from longshore_dispatcher.core import budgets
from longshore_dispatcher.core.state import State, Wish

Decision = tuple[e.Event, str]

#: Weights beyond these bounds would starve somebody for good.
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000.0
#: The largest number of seconds or attempts that a policy may name.
MOST = 1e9


def answer(state: State, wish: Wish, event: e.ShareRequested | e.PolicyRequested) -> Decision:
    """The one event that answers such a wish."""
    if isinstance(event, e.PolicyRequested):
        if fault := policy_fault(event.policy):
            return e.RequestRefused(request=wish.seq, reason=fault), ""
        return e.PolicySet(policy=event.policy, request=wish.seq), ""
    if fault := share_fault(event):
        return e.RequestRefused(request=wish.seq, reason=fault), ""
    old = state.shares.get((event.kind, event.name), Share())
    weight = old.weight if event.weight is None else event.weight
    most = old.max_running if event.max_running is None else event.max_running
    return e.ShareSet(
        kind=event.kind, name=event.name, share=Share(weight=weight, max_running=most), request=wish.seq
    ), ""


def share_fault(event: e.ShareRequested) -> str:
    """What is wrong with the wish, "" if nothing is."""
    if not event.name or len(event.name) > 255:
        return f"the {event.kind}'s name is empty or longer than 255 characters"
    if event.weight is not None and not LEAST_WEIGHT <= event.weight <= MOST_WEIGHT:
        return f"weight {event.weight:g} is not usable: give {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}, 1 is the usual one"
    if event.max_running is not None and not 0 <= event.max_running < 1 << 31:
        return f"max_running {event.max_running} is not usable: give 0 (no limit) or a positive number"
    return ""


def policy_fault(policy: Policy) -> str:
    """What is wrong with the policy, "" if nothing is."""
    for name in policy.__struct_fields__:
        value = getattr(policy, name)
        for number in value.values() if isinstance(value, dict) else (value,):
            if not isfinite(number) or not 0 <= number <= MOST:
                return f"{name} {number:g} is not usable: give 0 to {MOST:g}"
    for name in ("half_life", "first_wait", "longest_wait", "breaker_pause"):
        if not getattr(policy, name) > 0:
            return f"{name} must be more than 0 seconds"
    return budgets.policy_fault(policy)


def share_set(state: State, _record: Recorded, event: e.ShareSet) -> None:
    """A share as any other's is not kept."""
    if event.share == Share():
        state.shares.pop((event.kind, event.name), None)
    else:
        state.shares[(event.kind, event.name)] = event.share
    state.wishes.pop(event.request, None)


def policy_set(state: State, _record: Recorded, event: e.PolicySet) -> None:
    """The whole policy is replaced."""
    state.policy = msgspec.structs.replace(event.policy)
    state.wishes.pop(event.request, None)
