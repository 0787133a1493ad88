"""Completion as shells do it: their own programs read the script and are asked."""

import shutil
import subprocess

import pytest

from algd_jax import cli
from algd_jax.commands.completion import known_commands
from algd_jax.envs import list_envs
from algd_jax.runs.completion import SHELLS

BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
$(complete -p algd | sed 's/.*-F \\([^ ]*\\).*/\\1/') algd
printf '%s\\n' "${COMPREPLY[@]}"
"""

# As bashcompinit calls the function.
ZSH = """
source "$1"; shift
() {
    emulate -L sh; setopt kshglob noshglob braceexpand nokshautoload
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _algd
    printf '%s\\n' "${COMPREPLY[@]}"
} "$@"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell, render in SHELLS.items():
        (folder / shell).write_text(render(known_commands()))
    return folder


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(request, scripts, tmp_path):
    """Asks a shell what the last of some words may become."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")

    def ask(*words):
        script = str(scripts / shell)
        if shell == "fish":
            line = " ".join(("algd", *words))
            argv = ["fish", "-c", f"source {script}; complete -C {line!r}"]
        elif shell == "bash":
            # bash takes words apart at equals signs.
            parts = [part for word in words for part in split(word)]
            argv = ["bash", "--norc", "-c", BASH, "bash", script, "algd", *parts]
        else:
            argv = ["zsh", "-f", "-c", ZSH, "zsh", script, "algd", *words]
        out = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert out.stderr == ""
        found = (line.partition("\t")[0] for line in out.stdout.splitlines())
        # zsh and fish give back the whole word, bash what stands behind the equals sign.
        found = {word.rpartition("=")[2] if "=" in words[-1] else word for word in found} - {""}
        # zsh leaves out by itself what begins otherwise.
        begun = words[-1].rpartition("=")[2]
        return {word for word in found if shell != "zsh" or word.startswith(begun)}

    return ask


def split(word):
    flag, equals, value = word.partition("=")
    return [flag, equals, *([value] if value else [])] if equals else [word]


def test_commands(complete):
    assert complete("") == set(cli.COMMANDS)
    assert complete("re") == {"report", "render", "reproduce"}


def test_flags(complete):
    assert complete("train", "--algo") == {"--algorithm"}
    assert complete("train", "--env", "Ant", "--log") == {"--log-to"}
    assert complete("evaluate", "--e") == {"--env", "--episodes"}
    assert complete("watch", "--on") == {"--once"}


def test_names(complete):
    buttons = {name for name in list_envs() if name.startswith("PointB")}
    assert len(buttons) == 2
    assert complete("train", "--env", "PointB") == buttons
    assert complete("train", "--env=PointB") == buttons
    assert complete("train", "--seed", "1", "--preset", "") == {"quick", "paper", "throughput"}
    assert complete("evaluate", "run", "--checkpoint", "") == {"best", "last"}
    assert complete("play", "PointB") == buttons
    assert complete("benchmark", "upd") == {"update"}
    assert complete("completion", "") == set(SHELLS)
    assert complete("sweep", "--grid", "rh") == {"rho="}


def test_values_that_nobody_knows(complete):
    assert complete("train", "--rho", "") == set()
    assert complete("sweep", "--seeds", "") == set()


def test_several_values(complete):
    assert complete("train", "--log-to", "ml") == {"mlflow"}
    assert complete("benchmark", "update", "cha") == {"chain"}


def test_paths(complete, tmp_path):
    (tmp_path / "runs").mkdir()
    for words in (("evaluate", "ru"), ("train", "--run-dir", "ru"), ("compare", "runs", "ru")):
        assert {word.rstrip("/") for word in complete(*words)} == {"runs"}


def test_what_a_command_line_prints(algd, scripts):
    for shell in SHELLS:
        assert algd("completion", shell) == (0, (scripts / shell).read_text(), "")
    line = "algd: shell: got 'bahs', allowed is bash or zsh or fish; did you mean 'bash'?\n"
    assert algd("completion", "bahs") == (2, "", line)


def test_everything_is_known():
    commands = known_commands()
    assert list(commands) == list(cli.COMMANDS)
    assert all(command.purpose.endswith(".") for command in commands.values())
    assert commands["train"].flags["--help"] is None
    assert "--no-debug" not in commands["train"].flags
    assert "--no-goal-terminates" in commands["train"].flags
