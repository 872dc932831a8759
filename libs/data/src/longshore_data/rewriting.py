"""Paths rewritten by a user's regular expression, in a process of its own: some expressions never end, and hold all threads.

What must not enter: what the paths are for.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from longshore_common.errors import BadInput
from longshore_data.actions import Expression

#: Seconds for all paths of one step; honest expressions take a hundredth of one.
PATIENCE: Final = 10.0
_CHILD: Final = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
regex, text, every, paths = json.load(sys.stdin)
put = re.compile(regex).sub
json.dump([put(text, path, 0 if every else 1) for path in paths], sys.stdout)
"""


async def rewrite(found: Expression, paths: Sequence[str], patience: float = PATIENCE) -> list[str]:
    """What each path becomes. `BadInput` if the expression takes more than `patience` seconds for them, or fails."""
    words = f"|rename:s/{found.regex}/{found.text}/"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-W", "ignore", "-c", _CHILD,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={},
    )  # fmt: skip
    try:
        question = json.dumps([found.regex, found.text, found.every, list(paths)]).encode()
        async with asyncio.timeout(patience):
            answer, complaint = await child.communicate(question)
    except TimeoutError:
        raise BadInput(f"{words} takes more than {patience:g} s for {len(paths)} paths: write a simpler one") from None
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode:
        said = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise BadInput(f"{words} failed: {said or f'exit code {child.returncode}'}: correct it")
    became: list[str] = json.loads(answer)
    return became
