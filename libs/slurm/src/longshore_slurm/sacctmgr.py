"""sacctmgr: only what programs ask before they submit. There are no accounts here; the one everybody has is called none."""

from collections.abc import Mapping
from typing import Final

from longshore_common.errors import BadInput
from longshore_slurm.options import Table, read

OPTIONS: Final = Table("""
associations|s help|h immediate|i json? noheader|n once|o parsable|p parsable2|P quiet|Q readonly|r usage verbose|v version|V
withassoc yaml?
""")
_COLUMNS: Final = {
    "user": "{user}", "account": "none", "cluster": "longshore", "defaultaccount": "none", "def acct": "none", "admin": "None",
    "adminlevel": "None", "partition": "", "qos": "normal", "defaultqos": "normal", "name": "normal", "controlhost": "",
}  # fmt: skip


def run(words: list[str], environ: Mapping[str, str]) -> int:
    """Answer `list|show user|association|account|qos|cluster …`; anything else is refused."""
    options = read(OPTIONS, words)
    if len(options.rest) < 2 or options.rest[0].lower() not in ("list", "show"):
        raise BadInput("there are no accounts here to be changed: users are `longshore user`, shares `longshore share`")
    user = environ.get("USER") or environ.get("LOGNAME") or ""
    named = [word.partition("=") for word in options.rest[2:]]
    fields = next((value for key, _, value in named if key.lower() == "format"), "user,account")
    names = [name.partition("%")[0].lower() for name in fields.split(",")]
    values = [_COLUMNS.get(name, "").format(user=user) for name in names]
    if not options.has("noheader"):
        print("|".join(names) if _parsable(options.options) else " ".join(name.capitalize() for name in names))
    print(
        "|".join(values) + ("|" if "parsable" in options.options else "")
        if _parsable(options.options)
        else " ".join(values)
    )
    return 0


def _parsable(options: Mapping[str, object]) -> bool:
    return "parsable" in options or "parsable2" in options
