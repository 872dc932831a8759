"""What the command itself takes from the environment and from config.toml."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from longshore_common.settings import Loaded, load


class ClientSettings(msgspec.Struct, frozen=True):
    """`state_dir`: the stack talked to, empty for the default place. `batch`: where a submission goes without `--batch`.

    `store`: a folder that workers reach, such as s3://bucket/longshore/, where `submit --upload` puts local files;
    `dir_store`: the same for `longshore dir`.
    """

    state_dir: str = ""
    batch: str = "default"
    store: str = ""
    dir_store: str = ""


def configured(environ: Mapping[str, str]) -> Loaded:
    """The settings in force: the file, over it `LONGSHORE_<NAME>`."""
    return load(ClientSettings, environ, settings_file(environ))


def settings_file(environ: Mapping[str, str]) -> Path:
    """$XDG_CONFIG_HOME/longshore/config.toml"""
    base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "/")) / ".config")
    return Path(base) / "longshore" / "config.toml"
