"""The fold of what governs all: shares of batches and users, and the operator's policy; one row each, the last one said.

What must not enter: how a share or a policy takes effect.
"""

from typing import Final

import msgspec

from longshore_api.core import archive
from longshore_api.core.memory import Memory
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


def _govern(memory: Memory, record: Recorded, what: tuple[str, str], value: bytes, request: int) -> None:
    memory.changes.governing[what] = (*what, value.decode(), record.seq, record.at, request)
