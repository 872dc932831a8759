"""`longshore data`: copy, list, sync, delete and du on the same places that tasks name.

What must not enter: how bytes move (`longshore_data`); its import, before a command runs.
"""

from typing import Annotated

import typer

from longshore.cli.words import Json, add_noun, new_app
from longshore_common.errors import BadInput

_PLACE = "a URI, or a path of this computer; a folder ends in /"
Place = Annotated[str, typer.Argument(metavar="PLACE", help=_PLACE)]
Places = Annotated[list[str], typer.Argument(metavar="PLACE...", help=_PLACE)]
Ends = Annotated[list[str], typer.Argument(metavar="SOURCE... TARGET", help=_PLACE)]
Source = Annotated[str, typer.Argument(metavar="SOURCE/", help="a folder")]
Target = Annotated[str, typer.Argument(metavar="TARGET/", help="a folder")]
Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="GLOB", help="only paths that match; may be repeated")
]
Exclude = Annotated[
    list[str] | None, typer.Option("--exclude", metavar="GLOB", help="no paths that match; may be repeated")
]
DryRun = Annotated[bool, typer.Option("-n", "--dry-run", help="say what would be done, and do nothing")]
Checksum = Annotated[bool, typer.Option("--checksum", help="compare contents by SHA-256, not sizes and times")]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="all files below it, at any depth")]
Delete = Annotated[bool, typer.Option("--delete", help="also remove what only the target has")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="do not ask")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="no lines per file, no progress")]
Transfers = Annotated[int, typer.Option("--transfers", metavar="N", min=1, help="files at once")]
Bandwidth = Annotated[
    str, typer.Option("--bandwidth", metavar="SIZE", show_default=False, help="a second at most, such as 20M")
]
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="rclone's configuration; default: where rclone keeps it")
]


def register(root: typer.Typer) -> None:
    """Add this noun."""
    app = new_app("files wherever tasks find them: file, s3, http(s), ftp, sequencing runs, and every rclone remote")
    app.command("copy")(copy)
    app.command("list")(list_files)
    app.command("sync")(sync)
    app.command("delete")(delete)
    app.command("du")(du)
    add_noun(root, "data", app)


def copy(  # noqa: PLR0913 -- one per option
    *,
    ends: Ends,
    include: Include = None,
    exclude: Exclude = None,
    checksum: Checksum = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    transfers: Transfers = 16,
    bandwidth: Bandwidth = "0",
    config: Config = None,
) -> int:
    """Copy files, or what is below folders, to a target; into it if it ends in /.

    Actions (`|untar`, `|gunzip` …) may follow a source if the target is a folder of this computer. The exit code is 0 all
    done, 1 something failed, 2 misuse, 3 unreachable.
    """
    if len(ends) < 2:
        raise BadInput("name at least one source, and the target last")
    from longshore.cli.moving import Ask, Way, copied

    way = Way(transfers, bandwidth, config, quiet=quiet)
    return copied(way, ends, Ask(include, exclude, by_content=checksum, dry_run=dry_run))


def sync(  # noqa: PLR0913 -- one per option
    *,
    source: Source,
    target: Target,
    include: Include = None,
    exclude: Exclude = None,
    checksum: Checksum = False,
    delete: Delete = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    transfers: Transfers = 16,
    bandwidth: Bandwidth = "0",
    config: Config = None,
) -> int:
    """Make a folder hold what another one does: copies what is new or changed, and with --delete removes the rest.

    Changed means: another size, another MD5 where both sides know it, else a newer source.
    """
    from longshore.cli.moving import Ask, Way, synced

    way = Way(transfers, bandwidth, config, quiet=quiet)
    return synced(way, (source, target), Ask(include, exclude, by_content=checksum, dry_run=dry_run, delete=delete))


def list_files(  # noqa: PLR0913 -- one per option
    *,
    place: Place,
    recursive: Recursive = False,
    include: Include = None,
    exclude: Exclude = None,
    as_json: Json = False,
    config: Config = None,
) -> int:
    """What is in a folder: size in bytes, time, name; of a folder in it the sum of all that is below."""
    from longshore.cli.moving import Ask, Way, listed

    return listed(Way(config=config), place, Ask(include, exclude, recursive=recursive), as_json=as_json)


def delete(  # noqa: PLR0913 -- one per option
    *,
    places: Places,
    include: Include = None,
    exclude: Exclude = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    quiet: Quiet = False,
    config: Config = None,
) -> int:
    """Remove files, or all that is below folders; asks first, unless --yes."""
    from longshore.cli.moving import Ask, Way, deleted

    return deleted(Way(config=config, quiet=quiet), places, Ask(include, exclude, dry_run=dry_run, yes=yes))


def du(*, places: Places, as_json: Json = False, config: Config = None) -> int:
    """How many files there are below folders, and how many bytes."""
    from longshore.cli.moving import Way, measured

    return measured(Way(config=config), places, as_json=as_json)
