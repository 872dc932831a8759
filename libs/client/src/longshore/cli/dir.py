"""`longshore dir`: a directory is sent, run in a container at /rundir, and fetched again.

What must not enter: how any of it is done (`longshore.dir`); its import, before a command runs.
"""

from typing import Annotated

import typer

from longshore.cli import live
from longshore.cli.words import Json, add_noun, new_app

Directories = Annotated[
    list[str] | None,
    typer.Argument(metavar="[DIR]...", help="default: the directory at or above this one that was submitted"),
]
Change = Annotated[
    list[str] | None, typer.Option("-C", metavar="DIR", help="this directory instead of this one; may be repeated")
]
Many = Annotated[
    str | None,
    typer.Option("--batch", "--each", metavar="GLOB|FILE|-", help="directories that match, or one per line of a file"),
]
Image = Annotated[str, typer.Argument(metavar="IMAGE", help="the container's image")]
Command = Annotated[list[str], typer.Argument(metavar="COMMAND...", help="runs in /rundir; kept to the byte")]
Cores = Annotated[float, typer.Option("--cores", "--cpus", metavar="N", min=0, show_default=False, help="such as 4")]
Memory = Annotated[str, typer.Option("--memory", metavar="SIZE", show_default=False, help="such as 4G")]
Gpus = Annotated[int, typer.Option("--gpus", metavar="N", min=0, show_default=False, help="how many")]
Time = Annotated[
    str, typer.Option("--time", metavar="TIME", show_default=False, help="it may run so long: 90, 1h30m, 2-03:00:00")
]
Name = Annotated[
    str | None,
    typer.Option("-b", "--in", metavar="NAME", help="belongs to this batch", autocompletion=live.batches),
]
Retry = Annotated[int, typer.Option("--retry", metavar="N", min=0, help="tries again after failures of its own")]
Env = Annotated[list[str] | None, typer.Option("-e", "--env", metavar="K=V", help="a variable; may be repeated")]
Priority = Annotated[int, typer.Option("--priority", metavar="N", help="higher goes first")]
Store = Annotated[
    str | None, typer.Option("--to", metavar="URI", help="a folder that workers reach; default: LONGSHORE_DIR_STORE")
]
MostSize = Annotated[str, typer.Option("--max-size", metavar="SIZE", help="send no directory that holds more")]
MostFiles = Annotated[int, typer.Option("--max-files", metavar="N", min=1, help="nor one of more files")]
Again = Annotated[bool, typer.Option("--again", help="also what was submitted before and has ended")]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="say what would be sent, and send nothing")]
Wait = Annotated[bool, typer.Option("--wait", help="until all ended; exit 0 only if all succeeded")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="no talk")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="go on until the attempt has ended")]
Stderr = Annotated[bool, typer.Option("--stderr", help="what it wrote to stderr")]
Force = Annotated[bool, typer.Option("--force", help="also over files that were changed here")]
Older = Annotated[
    str | None,
    typer.Option("--older-than", metavar="TIME", help="only those whose task ended so long ago, such as 30d"),
]
First = Annotated[bool, typer.Option("--wait", help="until its task has ended")]
Kill = Annotated[bool, typer.Option("--kill", help="at once, without time to clean up")]
Fetched = Annotated[bool, typer.Option("--downloaded-only", help="only if everything it left was fetched")]
Unknown = Annotated[bool, typer.Option("--force", help="also if nobody knows whether its task has ended")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="do not ask")]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("a directory is a task: send it, run it in a container at /rundir, fetch what it left")
    app.command(context_settings={"allow_interspersed_args": False})(submit)
    for command in (status, logs, get, cancel, retry, prune):
        app.command()(command)
    app.command("list")(list_directories)
    add_noun(root, "dir", app)


def submit(  # noqa: PLR0913 -- one per option
    *,
    image: Image,
    command: Command,
    change: Change = None,
    many: Many = None,
    cores: Cores = 0,
    memory: Memory = "0",
    gpus: Gpus = 0,
    time: Time = "0",
    name: Name = None,
    retry: Retry = 0,
    env: Env = None,
    priority: Priority = 0,
    to: Store = None,
    max_size: MostSize = "2G",
    max_files: MostFiles = 100_000,
    again: Again = False,
    dry_run: DryRun = False,
    wait: Wait = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Send this directory, or many, and run COMMAND in each, in a container of IMAGE; prints the task's id.

    Lines of .longshoreignore leave files out. It may be cut off and repeated at any time: a directory becomes one task.
    The exit code is 0 if all are tasks now, 1 if any was refused, 2 misuse, 3 unreachable: repeat it.
    """
    typed = {name: value for name, value in locals().items() if value is not None}
    from longshore.cli.sending_directories import Given, submitted

    return submitted(Given(**typed))


def status(*, directories: Directories = None, change: Change = None, many: Many = None, as_json: Json = False) -> int:
    """How its task stands, and why; of many, a line each."""
    from longshore.cli.tending_directories import stood

    return stood([*(change or []), *(directories or [])], many, as_json=as_json)


def list_directories(*, directories: Directories = None, as_json: Json = False) -> int:
    """All directories at and below this one, or these, that were submitted."""
    from longshore.cli.tending_directories import listed

    return listed(directories or ["."], as_json=as_json)


def logs(
    *,
    directories: Directories = None,
    change: Change = None,
    many: Many = None,
    follow: Follow = False,
    stderr: Stderr = False,
) -> int:
    """What its command wrote to stdout, or to stderr."""
    from longshore.cli.tending_directories import logged

    stream = "stderr" if stderr else "stdout"
    return logged([*(change or []), *(directories or [])], many, stream, follow=follow)


def get(  # noqa: PLR0913 -- one per option
    *,
    directories: Directories = None,
    change: Change = None,
    many: Many = None,
    wait: First = False,
    force: Force = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Fetch what its task left and is new; a file that was changed here is kept, and told."""
    from longshore.cli.tending_directories import Fetch, fetched

    how = Fetch(wait=wait, force=force, quiet=quiet, as_json=as_json)
    return fetched([*(change or []), *(directories or [])], many, how)


def cancel(*, directories: Directories = None, change: Change = None, many: Many = None, kill: Kill = False) -> int:
    """Its task shall not run, or stop."""
    from longshore.cli.tending_directories import cancelled

    return cancelled([*(change or []), *(directories or [])], many, kill=kill)


def retry(*, directories: Directories = None, change: Change = None, many: Many = None) -> int:
    """Its task, which failed or was cancelled, shall run again, on the same files."""
    from longshore.cli.tending_directories import retried

    return retried([*(change or []), *(directories or [])], many)


def prune(  # noqa: PLR0913 -- one per option
    *,
    directories: Directories = None,
    change: Change = None,
    many: Many = None,
    downloaded_only: Fetched = False,
    older_than: Older = None,
    force: Unknown = False,
    yes: Yes = False,
) -> int:
    """Remove what is stored for it, here nothing; it may be submitted anew then. Refused while its task runs."""
    from longshore.cli.tending_directories import Prune, pruned

    how = Prune(fetched_only=downloaded_only, older_than=older_than, force=force, yes=yes)
    return pruned([*(change or []), *(directories or [])], many, how)
