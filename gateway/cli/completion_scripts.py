"""Completion scripts for bash, zsh and fish, made from the commands. Pure: commands in, text out.

bash and zsh share two tables, written as functions with one ``case`` each: what may follow a command, and what may
stand at one of its places or after one of its flags. Each shell brings its own way to read the line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.cli.commands import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gateway.cli.commands import Argument, Command

NAMES_OF_FILES: Final = frozenset({"FILE", "DIR", "CSV", "ROWS", "MODELS", "ROUTES", "WEBHOOKS", "KEYS"})
"""Words in a metavar that say that the value is a path."""

MODELS, FILES = "@models", "@files"
"""What a table says where names of models, or of files, are meant."""

LINE: Final = """\
    for ((i = FIRST; i < LAST; i++)); do
        word=${WORDS[i]}
        if [[ $word == "=" ]]; then continue
        elif [[ -n $waits ]]; then waits=""
        elif [[ $word == -* ]]; then
            if _gateway_values "$at:$word" > /dev/null; then waits=$word; fi
        elif _gateway_words "${at:+$at }$word" > /dev/null; then at="${at:+$at }$word"
        else place=$((place + 1))
        fi
    done
    if [[ -n $waits ]]; then offered=$(_gateway_values "$at:$waits")
    elif [[ $current == -* ]]; then offered=$(_gateway_words "$at")
    else offered=$(_gateway_values "$at:$place" || _gateway_words "$at")
    fi
"""
"""Reads the line: *at* is the command so far, *waits* a flag whose value is next, *place* how many arguments passed."""

BASH: Final = """
_gateway() {
    local current=${COMP_WORDS[COMP_CWORD]} at="" waits="" place=0 word offered i
    if [[ $current == "=" ]]; then current=""; fi
LINE    case $offered in
        @models) offered=$(gateway completion models 2> /dev/null) ;;
        @files) compopt -o filenames 2> /dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$current")
}
complete -F _gateway gateway
"""

ZSH: Final = """
_gateway() {
    local current=${words[CURRENT]} at="" waits="" word offered
    integer place=0 i
LINE    case $offered in
        @models) compadd -- ${(f)"$(gateway completion models 2> /dev/null)"} ;;
        @files) _files ;;
        *) compadd -- ${=offered} ;;
    esac
}
compdef _gateway gateway
"""

FISH: Final = """
function __gateway_command
    set -l at ''
    for word in (commandline -opc)[2..-1]
        set -l next (string trim -- "$at $word")
        if contains -- "$next" $__gateway_commands
            set at $next
        end
    end
    echo $at
end

function __gateway_at
    set -l at (__gateway_command)
    test "$at" = "$argv[1]"
end

complete -c gateway -f
"""


def bash(commands: Sequence[Command]) -> str:
    """Return the script for bash 4 and newer."""
    line = LINE.replace("FIRST", "1").replace("LAST", "COMP_CWORD").replace("WORDS[", "COMP_WORDS[")
    return f"# bash completion of {PROGRAM}\n" + _tables(commands) + BASH.replace("LINE", line, 1)


def zsh(commands: Sequence[Command]) -> str:
    """Return the script for zsh, for a file ``_gateway`` in ``fpath`` or to be sourced."""
    line = LINE.replace("FIRST", "2").replace("LAST", "CURRENT").replace("WORDS[", "words[")
    return f"#compdef {PROGRAM}\n" + _tables(commands) + ZSH.replace("LINE", line, 1)


def fish(commands: Sequence[Command]) -> str:
    """Return the script for fish 3 and newer."""
    words = _words(commands)
    lines = [
        f"# fish completion of {PROGRAM}",
        "set -g __gateway_commands " + " ".join(map(_quoted, filter(None, words))),
    ]
    lines += FISH.splitlines()
    for at, below in words.items():
        lines += [_fish(at, f"-a {_quoted(word)}") for word in below if not word.startswith("-")]
    for command in commands:
        lines += [_fish(command.name, _fish_flag(flag)) for flag in command.flags]
        offered = {_offered(place) for place in command.places} - {None}
        lines += [_fish(command.name, _fish_offer(each)) for each in sorted(filter(None, offered))]
    return "\n".join(lines) + "\n"


SCRIPTS: Final[Mapping[str, Callable[[Sequence[Command]], str]]] = {"bash": bash, "zsh": zsh, "fish": fish}


def _words(commands: Sequence[Command]) -> dict[str, list[str]]:
    """Return what may follow: the nouns, a noun's verbs, a command's flags. The empty name is the program."""
    found: dict[str, list[str]] = {"": []}
    for command in commands:
        for depth in range(len(command.words)):
            below = found.setdefault(" ".join(command.words[:depth]), [])
            if command.words[depth] not in below:
                below.append(command.words[depth])
        found[command.name] = [name for flag in command.flags for name in flag.names] + ["--help"]
    found[""] += ["--help", "--version"]
    return found


def _tables(commands: Sequence[Command]) -> str:
    words = [f"        {_quoted(at)}) echo {_quoted(' '.join(below))} ;;" for at, below in _words(commands).items()]
    values = [f"        {pattern}) echo {_quoted(offered)} ;;" for pattern, offered in _values(commands)]
    return "\n".join([
        "_gateway_words() {", '    case "$1" in', *words, "        *) return 1 ;;", "    esac", "}",
        "_gateway_values() {", '    case "$1" in', *values, "        *) return 1 ;;", "    esac", "}",
    ]) + "\n"  # fmt: skip


def _values(commands: Sequence[Command]) -> Iterator[tuple[str, str]]:
    """Yield (pattern, what is offered) for each flag that takes a value, and each place for which something is."""
    for command in commands:
        for flag in command.flags:
            if flag.takes_value:
                yield "|".join(_quoted(f"{command.name}:{name}") for name in flag.names), _offered(flag) or ""
        for place, argument in enumerate(command.places):
            if offered := _offered(argument):
                number = "[0-9]*" if argument.repeats else str(place)
                yield _quoted(f"{command.name}:") + number, offered


def _offered(argument: Argument) -> str | None:
    if argument.choices:
        return " ".join(argument.choices)
    if argument.metavar.startswith("MODEL") and not argument.names:
        return MODELS
    return FILES if NAMES_OF_FILES & set(re.split(r"[|_]", argument.metavar)) else None


def _fish(at: str, rest: str) -> str:
    return f"complete -c {PROGRAM} -n {_quoted(f'__gateway_at {_quoted(at)}', of='fish')} {rest}"


def _fish_flag(flag: Argument) -> str:
    words = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names]
    if flag.takes_value:
        offered = _offered(flag)
        words.append("-rF" if offered == FILES else "-x" + (f" -a {_quoted(offered)}" if offered else ""))
    return " ".join([*words, f"-d {_quoted(flag.help, of='fish')}"])


def _fish_offer(offered: str) -> str:
    commands = {MODELS: "-a '(gateway completion models 2>/dev/null)'", FILES: "-F"}
    return commands.get(offered) or f"-a {_quoted(offered, of='fish')}"


def _quoted(text: str, *, of: str = "sh") -> str:
    """Return *text* as one word *of* a shell, ``sh`` or ``fish``."""
    if of == "fish":
        return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "'" + text.replace("'", "'\\''") + "'"
