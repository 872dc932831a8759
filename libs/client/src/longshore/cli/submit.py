"""`longshore submit`: the words after it become one event; the answer is the id, before anything else.

What must not enter: HTTP, unless the words ask for it; a million tasks are to cost what one costs.
"""

from typing import Any, Final

from longshore.cli.words import Command, flag, option, repeated, whole


def submit(**words: Any) -> int:
    """Submit a command, or many; prints the task's id, or <submission>.0-N for many.

    Options end at the first word that is none: it begins COMMAND, which is kept to the byte. The exit code is 0 done,
    1 refused or a task failed (with --wait), 2 misuse, 3 unreachable.
    """
    from longshore.cli.submission import Given, send

    return send(Given(**words))


def flush() -> int:
    """Send what `submit --spool` kept while the stack was away."""
    from longshore.cli.door import Door
    from longshore.cli.printing import note

    sent = Door().write(lambda writer: writer.flush())
    note(f"{len(sent)} sent")
    return 0


WORDS: Final = (
    option("-b", "--batch", meta="NAME", help="belongs to this batch; default `default`"),
    option("-n", "--name", meta="NAME", help="a name to find it by"),
    option("-d", "--container", meta="IMAGE", help="run in a container of this image"),
    repeated("-O", "--container-option", meta="OPTION", help="passed on to the engine; may be repeated"),
    repeated("-i", "--input", dest="inputs", meta="URI", help="fetched into $INPUT; may be repeated"),
    repeated("-r", "--resource", meta="URI", help="shared on its host in $RESOURCE; may be repeated"),
    repeated("-o", "--output", meta="URI", help="where the files of $OUTPUT go"),
    repeated("-R", "--requires", meta="ID", help="tasks that must succeed first: ids, ranges, submissions, last"),
    flag("--requires-any-outcome", help="it is enough that the required ones ended"),
    option("--retry", meta="N", type=whole, default=0, help="tries again after failures of its own"),
    flag("--shell", help="run COMMAND by /bin/sh -c; further words are its $1, $2, …"),
    option("--uid", meta="N", type=whole, help="as this user id"),
    option("--gid", meta="N", type=whole, help="as this group id"),
    repeated("-e", "--env", meta="K=V", help="a variable; may be repeated"),
    repeated("--secret", meta="NAME", help="not there yet"),
    flag("--use-cache", help="not there yet"),
    option("--cpus", meta="N", type=float, default=0.0, help="such as 2 or 0.5"),
    option("--memory", meta="SIZE", default="0", help="such as 4G; units are binary"),
    option("--gpus", meta="N", type=whole, default=0, help="how many"),
    option("--disk", meta="SIZE", default="0", help="such as 20G"),
    option("--priority", meta="N", type=int, default=0, help="higher goes first"),
    option("--run-timeout", meta="TIME", default="0", help="such as 1h30m, 90s, 2-03:00:00"),
    option("--download-timeout", meta="TIME", default="0", help="for its inputs"),
    option("--upload-timeout", meta="TIME", default="0", help="for its outputs"),
    flag("--hold", help="not before `longshore task retry`"),
    option("--array", meta="A-B[:STEP][%%LIMIT]", help="a task per number, in $LONGSHORE_INDEX; at most LIMIT at once"),
    option("--each-line", meta="FILE|-", help="a task per line, in $LONGSHORE_ENTRY"),
    option("--each", meta="GLOB", help="a task per local path, in $LONGSHORE_ENTRY"),
    option(
        "--from-json", meta="FILE|-", help="a task per JSON object, one per line or in an array; options are defaults"
    ),
    flag("--test", help="print the event, send nothing"),
    flag("--wait", help="until all ended; exit 0 only if all succeeded"),
    flag("--follow", help="show its output as it comes, and wait"),
    flag("--spool", help="keep it on this disk if the stack is away"),
    option("--key", meta="KEY", help="idempotency key: the same one submits once"),
    flag("-q", "--quiet", help="just the id"),
)

COMMANDS: Final = {"submit": Command(submit, WORDS, rest="command"), "flush": Command(flush)}
