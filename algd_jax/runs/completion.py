"""Scripts that complete ``algd`` in a shell; they hold all words, so that completing is quick."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple


class Values(NamedTuple):
    """What may stand behind a flag, or as an argument of its own.

    Attributes:
      words: known ones.
      paths: whether it is a file or a folder.
      several: whether more may follow.
    """

    words: tuple[str, ...] = ()
    paths: bool = False
    several: bool = False


class Command(NamedTuple):
    """What a command takes.

    Attributes:
      purpose: one line.
      flags: their values; None for a switch.
      arguments: values without a flag; None if it takes none.
    """

    purpose: str
    flags: Mapping[str, Values | None]
    arguments: Values | None


Commands = Mapping[str, Command]


def bash(commands: Commands) -> str:
    """For bash, and for zsh through its own ``bashcompinit``."""
    cases = "\n".join(_bash_cases(commands))
    return _BASH.replace("COMMANDS", " ".join(commands)).replace("        CASES", cases)


def fish(commands: Commands) -> str:
    """For fish."""
    lines = ["# Completion of algd in fish.", "complete -c algd -f"]
    for name, command in commands.items():
        purpose = shlex.quote(command.purpose)
        lines.append(f"complete -c algd -n __fish_use_subcommand -a {name} -d {purpose}")
        start = f"complete -c algd -n '__fish_seen_subcommand_from {name}'"
        if command.arguments is not None:
            lines.append(start + _fish_values(command.arguments))
        for flag, values in command.flags.items():
            end = "" if values is None else " -r" + _fish_values(values)
            lines.append(f"{start} -l {flag.removeprefix('--')}{end}")
    return "\n".join(lines) + "\n"


SHELLS: dict[str, Callable[[Commands], str]] = {"bash": bash, "zsh": bash, "fish": fish}


def _bash_cases(commands: Commands) -> Iterator[str]:
    for name, command in commands.items():
        yield f"        '{name} -') words={shlex.quote(' '.join(command.flags))} ;;"
        every = {"": command.arguments or Values(tuple(command.flags)), **command.flags}
        for flag, values in every.items():
            if values is not None:
                words = f"words={shlex.quote(' '.join(values.words))}"
                paths = " paths=1" if values.paths else ""
                several = " several=1" if values.several else ""
                yield f"        '{name} {flag}') {words}{paths}{several} ;;"


def _fish_values(values: Values) -> str:
    words = f" -a {shlex.quote(' '.join(values.words))}" if values.words else ""
    return words + (" -F" if values.paths else " -f")


_BASH = r"""# Completion of algd in bash, and in zsh.

if [ -n "${ZSH_VERSION-}" ]; then
    autoload -Uz compinit bashcompinit
    whence compdef >/dev/null || compinit
    bashcompinit
fi

# What may follow: behind a command and a flag, behind a command, or a flag of it.
_algd_look_up() {
    words= paths=0 several=0
    case $1 in
        CASES
        *) return 1 ;;
    esac
}

_algd() {
    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local command=${COMP_WORDS[1]} flag= prefix= words= paths=0 several=0 i
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "COMMANDS" -- "$current"))
        return
    fi
    case $current in
        --*=*) flag=${current%%=*} prefix=${current%%=*}= current=${current#*=} ;;
        =) flag=$before current= ;;  # bash takes --flag=value apart.
        -*) flag=- ;;
        *)
            if [ "$before" = "=" ]; then
                flag=${COMP_WORDS[COMP_CWORD-2]}
            else
                i=$((COMP_CWORD - 1))
                while [ "$i" -gt 1 ]; do
                    case ${COMP_WORDS[i]} in --*) break ;; esac
                    i=$((i - 1))
                done
                [ "$i" -gt 1 ] && flag=${COMP_WORDS[i]}
                # A switch takes no value, most flags take one.
                _algd_look_up "$command $flag" || flag=
                [ "$several" -eq 0 ] && [ "$i" -lt $((COMP_CWORD - 1)) ] && flag=
            fi ;;
    esac
    _algd_look_up "$command $flag" || return
    COMPREPLY=($(compgen -P "$prefix" -W "$words" -- "$current"))
    case $words in *=)
        compopt -o nospace 2>/dev/null ;;  # zsh has none.
    esac
    if [ "$paths" -eq 1 ]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY+=($(compgen -P "$prefix" -f -- "$current"))
    fi
}

complete -F _algd algd
"""
