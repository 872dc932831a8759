"""Entry of the `longshore` command: finds the module of the word that was typed and imports no other.

What must not enter: imports at the top; `longshore --version` is to cost what Python costs.
"""

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typer import Typer

#: First word -> the module in this package that registers it.
MODULES: Final = {
    "up": "stack", "down": "stack", "status": "stack",
    "submit": "submit", "flush": "submit",
    "task": "task", "batch": "batch", "worker": "worker",
    "explain": "ask", "history": "ask", "wait": "ask",
    "db": "admin", "config": "admin",
}  # fmt: skip


def run() -> int:
    """Run the command of this process and return its exit code: 0 done, 1 refused or failed, 2 misuse, 3 unreachable."""
    words = sys.argv[1:]
    if words in (["--version"], ["-V"]):
        from longshore import __version__

        print(f"longshore {__version__}")
        return 0
    code = _run(words)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader had enough, such as `| head`: no failure of ours
    return code


def _run(words: list[str]) -> int:
    from longshore_common.errors import LongshoreError

    try:
        return _typed(words)
    except LongshoreError as err:
        return told(str(err), err.exit_code)
    except KeyboardInterrupt:
        return told("stopped looking; what was submitted goes on", 130)
    except TimeoutError as err:
        return told(str(err) or "the time is up; what was submitted goes on", 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0


def _typed(words: list[str]) -> int:
    import typer

    root = app_for(words[0] if words and words[0] in MODULES and "_LONGSHORE_COMPLETE" not in os.environ else None)
    try:
        code = root(args=words or ["--help"], prog_name="longshore", standalone_mode=False)
    except typer.TyperException as err:
        return told(f"{err.format_message()} Try `{_help_for(words)}`.", err.exit_code)
    except typer.Abort:
        return told("stopped", 130)
    return code if isinstance(code, int) else 0


def app_for(word: str | None) -> "Typer":
    """The command line with only this word's module in it, or with all for help and completion."""
    from importlib import import_module

    from longshore.cli.words import new_app

    root = new_app("Submit commands, follow them, and look after the machines that run them.", root=True)
    for module in [MODULES[word]] if word else dict.fromkeys(MODULES.values()):
        import_module(f"longshore.cli.{module}").register(root)
    return root


def _help_for(words: list[str]) -> str:
    known = [word for word in words[:1] if word in MODULES]
    return " ".join(["longshore", *known, "--help"])


def told(text: str, code: int) -> int:
    """Print one line on stderr and return the code."""
    print(f"longshore: {' '.join(text.split())}", file=sys.stderr)
    return code
