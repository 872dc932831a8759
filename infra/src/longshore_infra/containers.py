"""The set-up step of a stack in containers: keys, credentials and nats-server's configuration into volumes, once.

Each directory is a volume of its own, so that each container holds only what it needs. What must not enter: the
containers themselves (compose.yaml says those), anything that keeps running.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from longshore_common import settings
from longshore_common.errors import LongshoreError
from longshore_common.profile import Profile
from longshore_infra.stack import keys, nats
from longshore_infra.stack.layout import Layout
from longshore_infra.supervisor.files import write_json, write_private

#: The user that our images run as.
IMAGE_UID = 10001


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Mount points, and what the host calls them.

    `keys` stays with this step; `control` is for nats-server and the services, `authority` for the api alone, which tells
    NATS who is revoked; `join` for agents; `client` is a directory of the host, `client_dir` its path there (relative to
    `host_dir`).
    """

    keys: str = "/keys"
    control: str = "/control"
    authority: str = "/authority"
    join: str = "/join"
    client: str = "/client"
    host_dir: str = "/"
    client_dir: str = ".longshore"
    user: str = "local"
    nats_port: int = 4222
    api_port: int = 8470

    ENV = {
        "keys": "SETUP_KEYS", "control": "SETUP_CONTROL", "authority": "SETUP_AUTHORITY", "join": "SETUP_JOIN",
        "client": "SETUP_CLIENT",
    }  # fmt: skip


def set_up(told: Settings) -> None:
    """Make what is missing, mint credentials anew; keys and secrets stay as they are."""
    layout = Layout(Path(told.keys))
    layout.create()
    made = keys.prepare(layout, {}, user=told.user, claims="/data/claims")
    assert made.operator_seed is not None  # the server is our own
    assert made.system_creds is not None
    control, join, authority = Path(told.control), Path(told.join), Path(told.authority)
    conf = nats.config("0.0.0.0:4222", Path("/data"), made.server_conf) + 'http: "127.0.0.1:8222"\n'
    write_private(control / "nats.conf", conf.encode())
    write_private(control / "account", made.account.encode())
    copies = {
        made.account_seed: control / "signing.seed",
        layout.secrets / "api-token": control / "api-token",
        made.owner: control / "owner",
        **{keys.creds_file(layout, role): control / f"{role}.creds" for role in keys.SERVICES},
    }
    for source, target in copies.items():
        write_private(target, source.read_bytes())
    for secret, name in ((made.operator_seed, "operator.seed"), (made.system_creds, "system.creds")):
        write_private(authority / name, secret.read_bytes())
    _give(authority, IMAGE_UID, IMAGE_UID)
    for directory in (control, join):
        write_private(directory / "join", (layout.secrets / "join").read_bytes())
        _give(directory, IMAGE_UID, IMAGE_UID)
    _hand_out(layout, told)


def _hand_out(layout: Layout, told: Settings) -> None:
    """The user's own files into the host's directory, owned by whoever owns that."""
    mounted, on_host = Path(told.client), Path(told.host_dir) / told.client_dir
    owner = mounted.stat()
    write_private(mounted / "user.creds", keys.creds_file(layout, told.user).read_bytes())
    write_private(mounted / "api-token", (layout.secrets / "api-token").read_bytes())
    profile = Profile(
        user=told.user,
        nats_url=f"nats://127.0.0.1:{told.nats_port}",
        nats_creds=str(on_host / "user.creds"),
        api_url=f"http://127.0.0.1:{told.api_port}",
        api_token_file=str(on_host / "api-token"),
    )
    write_json(mounted / "client.json", profile)
    for name in ("user.creds", "api-token", "client.json"):
        os.chown(mounted / name, owner.st_uid, owner.st_gid)


def _give(directory: Path, uid: int, gid: int) -> None:
    for each in (directory, *directory.rglob("*")):
        shutil.chown(each, uid, gid)


def main(environ: Mapping[str, str]) -> int:
    """Set up by the environment; 0 when done."""
    try:
        set_up(settings.load(Settings, environ).value)
    except LongshoreError as err:
        print(err, file=sys.stderr)
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
