"""Snakemake's jobs as tasks of Longshore, on a file system that workers share.

One submission per job, one request for the states of all. What must not enter: how rules are read, what a task means.
"""

import os
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

import longshore

#: Jobs asked for in one request.
_PER_REQUEST = 500
_SECRET = ("SECRET", "TOKEN", "PASSW", "CREDENTIAL", "ACCESS_KEY", "API_KEY")
#: Environment of this process that its jobs do not get: a profile would have them submit their jobs again.
_OWN = (
    "SNAKEMAKE_PROFILE",
    "LONGSHORE_TASK",
    "LONGSHORE_ATTEMPT",
    "LONGSHORE_SUBMISSION",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
)
_MEGABYTE = 1024 * 1024


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """What `--longshore-…` says."""

    batch: str = field(default="snakemake", metadata={"help": "The batch of all jobs."})
    as_user: bool = field(
        default=False, metadata={"help": "Run jobs with your user and group id; needs an agent that runs as root."}
    )


common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=True,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=1,
)


class Executor(RemoteExecutor):  # type: ignore[misc]  # the interface is not typed
    """Submits, looks, cancels."""

    def __post_init__(self) -> None:
        try:
            self.client = longshore.Client()
        except longshore.LongshoreError as err:
            raise WorkflowError(str(err)) from err

    def run_job(self, job: JobExecutorInterface) -> None:
        """One job as one task; a job that an earlier Snakemake submitted and that is not over is waited for instead."""
        info = SubmittedJobInfo(job)
        known = self.dag.incomplete_external_jobid(job) if hasattr(self.dag, "incomplete_external_jobid") else None
        if known and self._goes_on(known):
            info.external_jobid = known
            self.report_job_submission(info)
            return
        try:
            info.external_jobid = str(self._submitted(job))
        except longshore.LongshoreError as err:
            self.report_job_error(info, msg=f"not submitted: {err}\n")
            return
        self.logger.info(f"Job {job.jobid} is task {info.external_jobid} of Longshore.")
        self.report_job_submission(info)

    def _submitted(self, job: JobExecutorInterface) -> str:
        settings, resources = self.workflow.executor_settings, job.resources
        command = [
            "/bin/sh",
            "-c",
            'cd "$1" && exec /bin/sh -c "$2"',
            "snakemake",
            os.getcwd(),
            self.format_job_exec(job),
        ]
        options: dict[str, Any] = {
            "name": f"{job.name}.{job.jobid}"[:200],
            "batch": resources.get("longshore_batch") or settings.batch or "snakemake",
            "priority": int(resources.get("longshore_priority") or 0),
            "cpus": float(job.threads),
            "memory": int(resources.get("mem_mb") or 0) * _MEGABYTE,
            "disk": int(resources.get("disk_mb") or 0) * _MEGABYTE,
            "gpus": int(resources.get("gpu") or 0),
            "run_timeout": float(resources.get("runtime") or 0) * 60,
            "env": self._environment(),
        }
        if settings.as_user:
            options |= {"uid": os.getuid(), "gid": os.getgid()}
        return str(self.client.submit(command, **options))

    def _environment(self) -> dict[str, str]:
        """Variables of this process, and those that the workflow declares; what looks like a credential only if declared."""
        declared = {name: os.environ[name] for name in self.workflow.envvars or () if name in os.environ}
        return {
            name: value
            for name, value in os.environ.items()
            if name not in _OWN and len(value) < 32_000 and not any(word in name.upper() for word in _SECRET)
        } | declared

    def _goes_on(self, task: str) -> bool:
        try:
            return self.client.task(task).state not in ("failed", "cancelled")
        except longshore.LongshoreError:
            return False

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Reports those that are over; the others are to be asked for again. A stack that is away is waited for."""
        for at in range(0, len(active_jobs), _PER_REQUEST):
            some = active_jobs[at : at + _PER_REQUEST]
            async with self.status_rate_limiter:
                found = self._tasks([info.external_jobid for info in some])
            for info in some:
                if not self._reported(info, found):
                    yield info

    def _tasks(self, ids: list[str]) -> dict[str, longshore.Task] | None:
        try:
            return {task.id: task for task in self.client.tasks(ids=",".join(ids))}
        except longshore.Unreachable as err:
            self.logger.info(f"Longshore does not answer, its tasks go on: {err}")
            return None

    def _reported(self, info: SubmittedJobInfo, found: dict[str, longshore.Task] | None) -> bool:
        task = found.get(info.external_jobid) if found is not None else None
        if found is None or (task is not None and not task.ended):
            return False
        if task is not None and task.state == "succeeded":
            self.report_job_success(info)
            return True
        self.report_job_error(info, msg=self._why(info.external_jobid, task))
        return True

    def _why(self, name: str, task: longshore.Task | None) -> str:
        if task is None:
            return f"Task {name} of Longshore is gone.\n"
        tail = b"".join(self.client.logs(name, stream="stderr"))[-2000:].decode(errors="replace")
        return f"Task {name} of Longshore {task.state} ({task.cause}): {task.reason}\n{tail}\n"

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancels them; returns at once."""
        ids = [info.external_jobid for info in active_jobs]
        try:
            if ids:
                self.client.cancel(ids)
        except longshore.LongshoreError as err:
            self.logger.error(f"Not cancelled: {err}. Do it with: longshore task cancel {' '.join(ids[:20])} …")

    def shutdown(self) -> None:
        """The end of the workflow."""
        super().shutdown()
        self.client.close()
