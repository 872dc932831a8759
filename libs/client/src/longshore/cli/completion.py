"""`longshore completion`: what a shell asks while one types; words, options, and live names of batches, workers, tasks."""

import sys
from typing import Annotated, Final

import typer

from longshore_common.errors import BadInput

_SCRIPTS: Final = {
    "bash": """_longshore() {
  local IFS=$'\\n'
  COMPREPLY=($(longshore completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _longshore longshore
""",
    "zsh": """#compdef longshore
_longshore() { compadd -- ${(f)"$(longshore completion words "${(@)words[2,CURRENT]}" 2>/dev/null)"} || _files }
compdef _longshore longshore
""",
    "fish": """complete -c longshore -f -a '(longshore completion words (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
""",
}


def register(root: typer.Typer) -> None:
    """Add this command."""
    root.command(context_settings={"allow_interspersed_args": False})(completion)


def completion(
    *,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish")] = "",
    words: Annotated[list[str] | None, typer.Argument(metavar="[WORD]...", hidden=True)] = None,
) -> None:
    """Completion for a shell: eval "$(longshore completion bash)", or zsh, or fish."""
    if shell == "words":
        sys.stdout.writelines(word + "\n" for word in candidates(words or [""]))
    elif shell in _SCRIPTS:
        sys.stdout.write(_SCRIPTS[shell])
    else:
        raise BadInput(f"name a shell: {', '.join(_SCRIPTS)}, such as `longshore completion bash`")


def candidates(words: list[str]) -> list[str]:
    """What the last of these words may become."""
    from click.shell_completion import ShellComplete

    from longshore.cli.root import tree

    *before, begun = words
    found = ShellComplete(tree(), {}, "longshore", "").get_completions(before, begun)
    return sorted({item.value for item in found if item.value.startswith(begun)})
