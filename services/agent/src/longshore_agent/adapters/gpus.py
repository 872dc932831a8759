"""The GPUs of this host by NVIDIA's management library, where it is installed.

The Python binding (2 MB of memory) is loaded only if the library is there. What must not enter: who gets which.
"""

import ctypes
from typing import Any, Final

LIBRARY: Final = "libnvidia-ml.so.1"


class Gpus:
    """An open library; `ids` are UUIDs in its order."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(k) for k in range(nvml.nvmlDeviceGetCount())]
        self.names = tuple(str(nvml.nvmlDeviceGetName(h)) for h in self._handles)
        self.ids = tuple(str(nvml.nvmlDeviceGetUUID(h)) for h in self._handles)

    def read(self) -> list[dict[str, Any]]:
        """Name, memory used and total in bytes, busy percent of each; a card that does not answer has only its name."""
        return [self._one(name, handle) for name, handle in zip(self.names, self._handles, strict=True)]

    def _one(self, name: str, handle: Any) -> dict[str, Any]:
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except nvml.NVMLError:
            return {"name": name}
        return {"name": name, "used": int(memory.used), "total": int(memory.total), "busy": int(busy)}


def find() -> tuple[Gpus | None, str]:
    """(the GPUs, None if there is no library; what is wrong with a library that is there, and the fix)."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        return None, ""
    import pynvml

    try:
        pynvml.nvmlInit()
        return Gpus(pynvml), ""
    except pynvml.NVMLError as err:
        return None, f"GPUs cannot be used: nvidia-ml says {err}; does `nvidia-smi` work on this host?"


def chosen(setting: str, found: Gpus | None) -> tuple[str, ...]:
    """Ids that attempts may be given: `all` that were found, `none`, or those named, such as 0,1 (indexes or UUIDs)."""
    if setting == "none":
        return ()
    if setting == "all":
        return found.ids if found else ()
    return tuple(part.strip() for part in setting.split(",") if part.strip())
