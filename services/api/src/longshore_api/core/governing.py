"""The fold of what governs all: shares of batches and users, the operator's policy, accounts and credentials; one row each.

The last one said counts. What must not enter: how any of it takes effect.
"""

from typing import Final

import msgspec

from longshore_api.core import archive
from longshore_api.core.memory import Memory
from longshore_api.core.users import ACCOUNT, CREDENTIAL, Account
from longshore_common import events as e
from longshore_common.log import Recorded

#: The kind of the one row that is the policy; shares have `batch` and `user`.
POLICY: Final = "policy"

_encode: Final = msgspec.json.Encoder().encode


def share_set(memory: Memory, record: Recorded, event: e.ShareSet) -> None:
    """What a batch or user gets beside others."""
    _govern(memory, record, (event.kind, archive.clean(event.name)), _encode(event.share), event.request)


def policy_set(memory: Memory, record: Recorded, event: e.PolicySet) -> None:
    """The operator's policy."""
    _govern(memory, record, (POLICY, ""), _encode(event.policy), event.request)


def user_fact(memory: Memory, record: Recorded, event: e.Event) -> None:
    """Users and their credentials: all entries that it changes."""
    for entry in memory.users.take(event, record.seq, record.at):
        what = (ACCOUNT, entry.name) if isinstance(entry, Account) else (CREDENTIAL, entry.id)
        _govern(memory, record, what, _encode(entry), 0)


def _govern(memory: Memory, record: Recorded, what: tuple[str, str], value: bytes, request: int) -> None:
    memory.changes.governing[what] = (*what, value.decode(), record.seq, record.at, request)
