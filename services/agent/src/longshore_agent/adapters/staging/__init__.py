"""Staging: what an attempt needs and leaves, behind the `Stager` port, over `longshore_data`.

What must not enter: how one kind of storage moves bytes, phases of attempts, the log, retries over minutes.
"""

from longshore_agent.adapters.staging.stager import StorageStager

__all__ = ["StorageStager"]
