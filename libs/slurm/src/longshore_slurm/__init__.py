"""The commands of Slurm upon Longshore: jobs of a shared file system, in the words and shapes that programs expect.

What must not enter: decisions about tasks, and imports that a command does not need: each starts in less than 150 ms.
"""

from typing import Final

#: What the commands answer to `--version`: programs compare it before they trust an option.
VERSION: Final = "slurm 23.11.10"
