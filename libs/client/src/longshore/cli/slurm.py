"""`longshore slurm-shim`: the commands of Slurm, if `longshore-slurm` is installed. The only module that knows it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from longshore.cli.words import add_noun, new_app
from longshore_common.errors import Refused

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="a directory to put before others in PATH")]


def register(root: typer.Typer) -> None:
    """Add these commands."""
    app = new_app(
        "The commands of Slurm upon this stack: sbatch, squeue, scancel, sacct, scontrol, sinfo, srun, sacctmgr."
    )
    app.command()(install)
    app.command()(remove)
    add_noun(root, "slurm-shim", app)


def install(directory: Directory) -> None:
    """Write the commands as programs into DIR; what another put there is never replaced."""
    from longshore.cli.printing import data, note

    for file in _shim().install(directory.absolute()):
        data(str(file))
    note(f'use them: export PATH="{directory.absolute()}:$PATH"')


def remove(directory: Directory) -> None:
    """Remove our programs from DIR."""
    from longshore.cli.printing import data

    for file in _shim().remove(directory.absolute()):
        data(str(file))


def _shim() -> Any:
    try:
        from longshore_slurm import install
    except ImportError as err:
        raise Refused("the commands of Slurm are not installed here: pip install longshore-slurm") from err
    return install
