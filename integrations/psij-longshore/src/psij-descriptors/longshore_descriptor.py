"""How PSI/J finds the executor."""

from packaging.version import Version
from psij.descriptor import Descriptor

__PSI_J_EXECUTORS__ = [
    Descriptor(name="longshore", version=Version("0.1.0"), cls="psij_longshore.executor.LongshoreJobExecutor"),
]
