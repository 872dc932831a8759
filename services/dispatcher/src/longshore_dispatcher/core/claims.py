"""A claim on a worker, as the state keeps it. What must not enter: when it is made or given up (`reserve`)."""

from msgspec import Struct


class Reservation(Struct, array_like=True):
    """The next task of a submission that needs what task `index` needs has a claim since `at`, at sequence `seq`.

    It is expected to start by `until` (Unix seconds).
    """

    submission: int
    index: int
    seq: int
    at: float
    until: float = 0.0
