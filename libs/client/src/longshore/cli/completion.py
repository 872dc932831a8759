"""`longshore completion`: what a shell asks while one types; words, options, and live names of batches, workers, tasks."""

import sys
from typing import Final

from longshore.cli.main import MODULES, commands
from longshore.cli.words import Command
from longshore_common.errors import BadInput, LongshoreError

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


def completion(*, words: list[str]) -> int:
    """Completion for a shell: eval "$(longshore completion bash)", or zsh, or fish."""
    shell, *rest = words or [""]
    if shell == "words":
        sys.stdout.writelines(word + "\n" for word in candidates(rest or [""]))
    elif shell in _SCRIPTS:
        sys.stdout.write(_SCRIPTS[shell])
    else:
        raise BadInput(f"name a shell: {', '.join(_SCRIPTS)}, such as `longshore completion bash`")
    return 0


def candidates(words: list[str]) -> list[str]:
    """What the last of these words may become."""
    *before, begun = words
    return sorted(word for word in _possible(before, begun) if word.startswith(begun))


def _possible(before: list[str], begun: str) -> list[str]:
    if not before:
        return [*MODULES, "--version", "--help"]
    if before[0] not in MODULES:
        return []
    found = commands(before[0])
    if not isinstance(found, Command):
        if len(before) == 1:
            return [*found.commands, "--help"]
        if before[1] not in found.commands:
            return []
        found = found.commands[before[1]]
    if begun.startswith("-"):
        return [name for word in found.words for name in word.flags if name.startswith("--")] + ["--help"]
    return _live(before)


def _live(before: list[str]) -> list[str]:
    """Names the api knows now; none if it does not answer."""
    from itertools import islice

    from longshore.cli.door import Door

    try:
        reader = Door().reader
        if before[0] == "worker":
            return [worker.name for worker in reader.workers()]
        if before[0] == "batch" or before[-1] in ("-b", "--batch"):
            return [batch.name for batch in reader.batches()]
        if before[0] in ("task", "explain", "history", "wait") or before[-1] in ("-R", "--requires"):
            return ["last", *(task.id for task in islice(reader.tasks(limit=50), 50))]
    except LongshoreError:
        return []
    return []


COMMANDS: Final = {"completion": Command(completion, rest="words")}
