"""Staging: the bytes of attempts between storage and this host, behind the `Stager` port.

One module per kind of storage, `stager` above them. What must not enter: phases of attempts, the log, retries over
minutes. `s3_store` is imported only when a task names `s3://`, for its client costs 0.4 s and 35 MB.
"""

from longshore_agent.adapters.staging.stager import StorageStager

__all__ = ["StorageStager"]
