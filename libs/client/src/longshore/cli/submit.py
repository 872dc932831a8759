"""`longshore submit`: the words after it become one event; the answer is the id, before anything else.

What must not enter: HTTP, unless the words ask for it; a million tasks are to cost what one costs.
"""

from typing import Annotated

import typer

from longshore.cli.submission import Given, send


def register(root: typer.Typer) -> None:
    """Add these commands."""
    root.command(context_settings={"allow_interspersed_args": False})(submit)
    root.command()(flush)


def submit(  # noqa: PLR0913 -- typer reads options from the signature
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]…", help="The program and its arguments, kept to the byte.")
    ] = None,
    batch: Annotated[str | None, typer.Option("-b", "--batch", metavar="NAME", help="Belongs to this batch.")] = None,
    name: Annotated[str | None, typer.Option("-n", "--name", metavar="NAME", help="A name to find it by.")] = None,
    container: Annotated[
        str | None, typer.Option("-d", "--container", metavar="IMAGE", help="Run in a container of this image.")
    ] = None,
    container_option: Annotated[
        list[str] | None, typer.Option("-O", "--container-option", metavar="OPTION", help="Passed to the engine.")
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("-i", "--input", metavar="URI", help="Fetched into $INPUT; may be repeated.")
    ] = None,
    resource: Annotated[
        list[str] | None, typer.Option("-r", "--resource", metavar="URI", help="Shared in $RESOURCE; may be repeated.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option("-o", "--output", metavar="URI", help="Where the files of $OUTPUT go.")
    ] = None,
    requires: Annotated[
        list[str] | None, typer.Option("-R", "--requires", metavar="ID", help="Tasks that must succeed first.")
    ] = None,
    requires_any_outcome: Annotated[  # noqa: FBT002 -- typer reads flags so
        bool, typer.Option("--requires-any-outcome", help="It is enough that the required ones ended.")
    ] = False,
    retry: Annotated[int, typer.Option("--retry", min=0, metavar="N", help="Tries again after failures.")] = 0,
    shell: Annotated[bool, typer.Option("--shell", help="Run COMMAND by /bin/sh -c.")] = False,  # noqa: FBT002 -- typer reads flags so
    uid: Annotated[int | None, typer.Option("--uid", min=0, metavar="N", help="As this user id.")] = None,
    gid: Annotated[int | None, typer.Option("--gid", min=0, metavar="N", help="As this group id.")] = None,
    env: Annotated[
        list[str] | None, typer.Option("-e", "--env", metavar="K=V", help="A variable; may be repeated.")
    ] = None,
    secret: Annotated[list[str] | None, typer.Option("--secret", metavar="NAME", hidden=True)] = None,
    use_cache: Annotated[bool, typer.Option("--use-cache", hidden=True)] = False,  # noqa: FBT002 -- typer reads flags so
    cpus: Annotated[float, typer.Option("--cpus", min=0, metavar="N", help="CPUs, such as 2 or 0.5.")] = 0,
    memory: Annotated[str, typer.Option("--memory", metavar="SIZE", help="Such as 4G; binary units.")] = "0",
    gpus: Annotated[int, typer.Option("--gpus", min=0, metavar="N", help="GPUs.")] = 0,
    disk: Annotated[str, typer.Option("--disk", metavar="SIZE", help="Such as 20G.")] = "0",
    priority: Annotated[int, typer.Option("--priority", metavar="N", help="Higher goes first.")] = 0,
    run_timeout: Annotated[str, typer.Option("--run-timeout", metavar="TIME", help="Such as 1h30m.")] = "0",
    download_timeout: Annotated[str, typer.Option("--download-timeout", metavar="TIME", help="For its inputs.")] = "0",
    upload_timeout: Annotated[str, typer.Option("--upload-timeout", metavar="TIME", help="For its outputs.")] = "0",
    hold: Annotated[bool, typer.Option("--hold", help="Not before `longshore task retry`.")] = False,  # noqa: FBT002 -- typer reads flags so
    array: Annotated[
        str | None, typer.Option("--array", metavar="A-B[:STEP][%LIMIT]", help="A task per $LONGSHORE_INDEX.")
    ] = None,
    each_line: Annotated[
        str | None, typer.Option("--each-line", metavar="FILE|-", help="A task per line, in $LONGSHORE_ENTRY.")
    ] = None,
    each: Annotated[
        str | None, typer.Option("--each", metavar="GLOB", help="A task per local path, in $LONGSHORE_ENTRY.")
    ] = None,
    from_json: Annotated[
        str | None, typer.Option("--from-json", metavar="FILE|-", help="A task per object; options are defaults.")
    ] = None,
    test: Annotated[bool, typer.Option("--test", help="Print the event, send nothing.")] = False,  # noqa: FBT002 -- typer reads flags so
    wait: Annotated[bool, typer.Option("--wait", help="Until all ended; exit 0 only if all succeeded.")] = False,  # noqa: FBT002 -- typer reads flags so
    follow: Annotated[bool, typer.Option("--follow", help="Show its output as it comes, and wait.")] = False,  # noqa: FBT002 -- typer reads flags so
    spool: Annotated[bool, typer.Option("--spool", help="Keep it on this disk if the stack is away.")] = False,  # noqa: FBT002 -- typer reads flags so
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Idempotency key: the same one submits once.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Just the id.")] = False,  # noqa: FBT002 -- typer reads flags so
) -> int:
    """Submit a command, or many; prints the task's id, or <submission>.0-N for many.

    Options end at the first word that is none: it begins COMMAND. The exit code is 0 done, 1 refused or a task failed
    (with --wait), 2 misuse, 3 unreachable.
    """
    return send(Given(**locals()))


def flush() -> int:
    """Send what `submit --spool` kept while the stack was away."""
    from longshore.cli.door import Door
    from longshore.cli.printing import note

    sent = Door().write(lambda writer: writer.flush())
    note(f"{len(sent)} sent")
    return 0
