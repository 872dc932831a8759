"""PSI/J's jobs as tasks of Longshore: its batch scripts, and our commands of Slurm called by their module.

Nothing has to be in PATH; inside a job the commands are there, since PSI/J's scripts ask for hosts.
"""

import io
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TextIO

from psij import Job
from psij.executors.batch.slurm import SlurmExecutorConfig, SlurmJobExecutor

from longshore_slurm.install import install


class LongshoreExecutorConfig(SlurmExecutorConfig):  # type: ignore[misc]  # PSI/J is not typed
    """As that of any batch system, but asked every second: one request answers for all jobs."""

    def __init__(
        self, *, queue_polling_interval: int = 1, initial_queue_polling_delay: int = 1, **more: object
    ) -> None:
        super().__init__(
            queue_polling_interval=queue_polling_interval,
            initial_queue_polling_delay=initial_queue_polling_delay,
            **more,
        )


class LongshoreJobExecutor(SlurmJobExecutor):  # type: ignore[misc]
    """Submits, looks and cancels."""

    _NAME_ = "longshore"

    def __init__(self, url: str | None = None, config: LongshoreExecutorConfig | None = None) -> None:
        super().__init__(url=url, config=config or LongshoreExecutorConfig())

    def generate_submit_script(self, job: Job, context: dict[str, object], submit_file: TextIO) -> None:
        """PSI/J's script for Slurm, in which our commands come first in PATH."""
        made = io.StringIO()
        super().generate_submit_script(job, context, made)
        programs = self.work_directory / "bin"
        install(programs)
        head, redirection, rest = made.getvalue().partition("exec &>>")
        submit_file.write(f'{head}export PATH="{programs}:$PATH"\n{redirection}{rest}')

    def get_submit_command(self, job: Job, submit_file_path: Path) -> list[str]:
        """See the base class."""
        return _command("sbatch", str(submit_file_path.absolute()))

    def get_cancel_command(self, native_id: str) -> list[str]:
        """See the base class."""
        return _command("scancel", "-Q", native_id)

    def get_status_command(self, native_ids: Collection[str]) -> list[str]:
        """See the base class."""
        return _command("squeue", "-O", "JobArrayID,StateCompact,Reason", "-t", "all", "-j", ",".join(native_ids))


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "longshore_slurm.main", *words]
