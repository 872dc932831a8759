"""`longshore submit`: the words after it become one event; the answer is the id, before anything else.

What must not enter: HTTP, unless the words ask for it; a million tasks are to cost what one costs.
"""

from typing import Annotated

import typer

from longshore.cli import live

Command = Annotated[list[str] | None, typer.Argument(metavar="[--] COMMAND...", help="kept to the byte")]
Batch = Annotated[
    str | None,
    typer.Option(
        "-b", "--batch", metavar="NAME", help="belongs to this batch; default `default`", autocompletion=live.batches
    ),
]
Name = Annotated[str | None, typer.Option("-n", "--name", metavar="NAME", help="a name to find it by")]
Container = Annotated[
    str | None, typer.Option("-d", "--container", metavar="IMAGE", help="run in a container of this image")
]
ContainerOption = Annotated[
    list[str] | None,
    typer.Option("-O", "--container-option", metavar="OPTION", help="passed on to the engine; may be repeated"),
]
Inputs = Annotated[
    list[str] | None, typer.Option("-i", "--input", metavar="URI", help="fetched into $INPUT; may be repeated")
]
Resource = Annotated[
    list[str] | None,
    typer.Option("-r", "--resource", metavar="URI", help="shared on its host in $RESOURCE; may be repeated"),
]
LocalFiles = Annotated[
    bool, typer.Option("--upload", help="send local inputs and resources to LONGSHORE_STORE first, once by content")
]
Output = Annotated[
    list[str] | None, typer.Option("-o", "--output", metavar="URI", help="where the files of $OUTPUT go")
]
Requires = Annotated[
    list[str] | None,
    typer.Option(
        "-R", "--requires", metavar="ID", help="tasks that must succeed first: ids, ranges, submissions, last",
        autocompletion=live.tasks,
    ),
]  # fmt: skip
AnyOutcome = Annotated[bool, typer.Option("--requires-any-outcome", help="it is enough that the required ones ended")]
RequiresEach = Annotated[
    bool, typer.Option("--requires-each", help="task k waits for the k-th of each required range only")
]
OnFailed = Annotated[
    str, typer.Option("--on-failed-requirement", metavar="fail|wait", help="fail with it, or wait until it is retried")
]
Retry = Annotated[int, typer.Option("--retry", metavar="N", min=0, help="tries again after failures of its own")]
RetryOn = Annotated[
    list[str] | None,
    typer.Option(
        "--retry-on", metavar="CAUSE[:N]", autocompletion=live.causes,
        help="so often after this cause, such as stage-in:10 or worker-lost:0; may be repeated",
    ),
]  # fmt: skip
NoRetryOn = Annotated[
    list[str] | None,
    typer.Option("--no-retry-on", metavar="CAUSE", autocompletion=live.causes, help="never after it; may be repeated"),
]
RetryExit = Annotated[
    list[str] | None,
    typer.Option("--retry-exit", metavar="CODES", help="of exit codes only these are tried again, such as 75,100-110"),
]
FailExit = Annotated[
    list[str] | None, typer.Option("--fail-exit", metavar="CODES", help="these exit codes are never tried again")
]
Backoff = Annotated[
    str, typer.Option("--backoff", metavar="TIME", show_default=False, help="before the first retry; then doubled")
]
Shell = Annotated[bool, typer.Option("--shell", help="run COMMAND by /bin/sh -c; further words are its $1, $2, …")]
Uid = Annotated[int | None, typer.Option("--uid", metavar="N", min=0, help="as this user id")]
Gid = Annotated[int | None, typer.Option("--gid", metavar="N", min=0, help="as this group id")]
Env = Annotated[list[str] | None, typer.Option("-e", "--env", metavar="K=V", help="a variable; may be repeated")]
Secret = Annotated[
    list[str] | None,
    typer.Option(
        "--secret", metavar="NAME", help="a secret of yours as a variable of that name; see `longshore secret`"
    ),
]
UseCache = Annotated[
    bool, typer.Option("--use-cache", help="take the outputs of an equal task of yours instead of running")
]
Cpus = Annotated[float, typer.Option("--cpus", metavar="N", show_default=False, help="such as 2 or 0.5")]
Memory = Annotated[
    str, typer.Option("--memory", metavar="SIZE", show_default=False, help="such as 4G; units are binary")
]
Gpus = Annotated[int, typer.Option("--gpus", metavar="N", min=0, show_default=False, help="how many")]
Disk = Annotated[str, typer.Option("--disk", metavar="SIZE", show_default=False, help="such as 20G")]
Custom = Annotated[
    list[str] | None,
    typer.Option("--custom", metavar="NAME=AMOUNT", help="of a resource the operator named; may be repeated"),
]
Otherwise = Annotated[
    list[str] | None,
    typer.Option(
        "--or", metavar="cpus=8,memory=32G,…",
        help="instead of --cpus, --memory, --gpus, --disk and --custom, if that is free first; may be repeated",
    ),
]  # fmt: skip
Priority = Annotated[int, typer.Option("--priority", metavar="N", help="higher goes first")]
RunTimeout = Annotated[
    str, typer.Option("--run-timeout", metavar="TIME", show_default=False, help="such as 1h30m, 90s, 2-03:00:00")
]
Download = Annotated[str, typer.Option("--download-timeout", metavar="TIME", show_default=False, help="for its inputs")]
Upload = Annotated[str, typer.Option("--upload-timeout", metavar="TIME", show_default=False, help="for its outputs")]
Checkpoint = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", metavar="PATH", help="below $TEMP: saved when it is interrupted, there again after; needs -o"
    ),
]
StopSignal = Annotated[
    str | None, typer.Option("--stop-signal", metavar="SIGNAL", help="how it is asked to stop; default SIGTERM")
]
Grace = Annotated[
    str | None, typer.Option("--grace", metavar="TIME", help="how long it then has before it is killed; default 10s")
]
Pull = Annotated[
    str | None, typer.Option("--pull", metavar="WHEN", help="its image: missing (the default), always, or never")
]
Hold = Annotated[bool, typer.Option("--hold", help="not before `longshore task retry`")]
Array = Annotated[
    str | None,
    typer.Option(
        "--array",
        metavar="A-B[:STEP][%LIMIT]",
        help="a task per number, in $LONGSHORE_INDEX; at most LIMIT at once",
    ),
]
EachLine = Annotated[
    str | None, typer.Option("--each-line", metavar="FILE|-", help="a task per line, in $LONGSHORE_ENTRY")
]
Each = Annotated[str | None, typer.Option("--each", metavar="GLOB", help="a task per local path, in $LONGSHORE_ENTRY")]
FromJson = Annotated[
    str | None,
    typer.Option(
        "--from-json",
        metavar="FILE|-",
        help="a task per JSON object, one per line or in an array; options are defaults",
    ),
]
Test = Annotated[bool, typer.Option("--test", help="print the event, send nothing")]
Wait = Annotated[bool, typer.Option("--wait", help="until all ended; exit 0 only if all succeeded")]
Follow = Annotated[bool, typer.Option("--follow", help="show its output as it comes, and wait")]
Spool = Annotated[bool, typer.Option("--spool", help="keep it on this disk if the stack is away")]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help="idempotency key: the same one submits once")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="just the id")]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command(context_settings={"allow_interspersed_args": False})(submit)
    root.command()(flush)


def submit(  # noqa: PLR0913 -- one per option
    *,
    batch: Batch = None,
    name: Name = None,
    container: Container = None,
    container_option: ContainerOption = None,
    inputs: Inputs = None,
    resource: Resource = None,
    output: Output = None,
    upload: LocalFiles = False,
    requires: Requires = None,
    requires_any_outcome: AnyOutcome = False,
    requires_each: RequiresEach = False,
    on_failed_requirement: OnFailed = "fail",
    retry: Retry = 0,
    retry_on: RetryOn = None,
    no_retry_on: NoRetryOn = None,
    retry_exit: RetryExit = None,
    fail_exit: FailExit = None,
    backoff: Backoff = "0",
    shell: Shell = False,
    uid: Uid = None,
    gid: Gid = None,
    env: Env = None,
    secret: Secret = None,
    use_cache: UseCache = False,
    cpus: Cpus = 0.0,
    memory: Memory = "0",
    gpus: Gpus = 0,
    disk: Disk = "0",
    custom: Custom = None,
    otherwise: Otherwise = None,
    priority: Priority = 0,
    run_timeout: RunTimeout = "0",
    download_timeout: Download = "0",
    upload_timeout: Upload = "0",
    checkpoint: Checkpoint = None,
    stop_signal: StopSignal = None,
    grace: Grace = None,
    pull: Pull = None,
    hold: Hold = False,
    array: Array = None,
    each_line: EachLine = None,
    each: Each = None,
    from_json: FromJson = None,
    test: Test = False,
    wait: Wait = False,
    follow: Follow = False,
    spool: Spool = False,
    key: Key = None,
    quiet: Quiet = False,
    command: Command = None,
) -> int:
    """Submit a command, or many; prints the task's id, or <submission>.0-N for many.

    Options end at the first word that is none: it begins COMMAND, which is kept to the byte. The exit code is 0 done,
    1 refused or a task failed (with --wait), 2 misuse, 3 unreachable.
    """
    typed = {name: value for name, value in locals().items() if value is not None}
    from longshore.cli.submission import Given, send

    return send(Given(**typed))


def flush() -> None:
    """Send what `submit --spool` kept while the stack was away."""
    from longshore.cli.door import Door
    from longshore.cli.printing import note

    sent = Door().write(lambda writer: writer.flush())
    note(f"{len(sent)} sent")
