"""The remotes that whoever runs this program has configured rclone with on this computer.

What must not enter: what a configuration means (`remotes`), writing one.
"""

import os
from collections.abc import Mapping

from longshore_common.errors import BadInput
from longshore_data import remotes
from longshore_data.remotes import Remotes


def own_remotes(environ: Mapping[str, str], path: str | None = None) -> Remotes:
    """Those in the file `path`, else where RCLONE_CONFIG says, else where rclone keeps it; none if there is no such file.

    `BadInput` if `path` is not there, or what is there is no configuration.
    """
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME') or os.path.expanduser('~')}/.config"
    place = path or environ.get("RCLONE_CONFIG") or f"{base}/rclone/rclone.conf"
    try:
        with open(place, encoding="utf-8") as file:
            return remotes.read(file.read())
    except FileNotFoundError:
        if path:
            raise BadInput(f"{path}: there is no such file") from None
        return Remotes()
    except (OSError, UnicodeDecodeError) as err:
        raise BadInput(f"{place} cannot be read: {err}") from err
