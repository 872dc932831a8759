"""Entry of the `longshore` command, and where its errors become one line and an exit code.

What must not enter: imports at the top; `longshore --version` is to cost what Python costs.
"""

import os
import sys


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
        _to_nowhere()
    return code


def _run(words: list[str]) -> int:
    from longshore_common.errors import LongshoreError

    try:
        from longshore.cli.root import called

        return called(words)
    except LongshoreError as err:
        return told(str(err), err.exit_code)
    except KeyboardInterrupt:
        return told("stopped looking; what was submitted goes on", 130)
    except TimeoutError as err:
        return told(str(err) or "the time is up; what was submitted goes on", 1)
    except BrokenPipeError:
        _to_nowhere()
        return 0


def _to_nowhere() -> None:
    """The reader of our output had enough, such as `| head`: no failure of ours, and nothing to say at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def told(text: str, code: int) -> int:
    """Print one line on stderr and return the code."""
    print(f"longshore: {' '.join(text.split())}", file=sys.stderr)
    return code
