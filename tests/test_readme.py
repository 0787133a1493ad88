"""Every command and snippet of README and library page runs, at sizes a test can afford."""

import pathlib
import re
import shlex
import tomllib

import pytest

import algd_jax
from algd_jax.cli import main
from algd_jax.envs import registry
from tests.runs.render.scene import SceneProbe
from tests.runs.support import EPOCH, LAST_STEP, TINY_FLAGS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LIBRARY = (ROOT / "docs" / "library.md").read_text()


def blocks(language, page=README):
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def shell_commands():
    """Single commands of the README's shell blocks, in order."""
    lines = [line for block in blocks("bash") for line in block.splitlines() if line]
    return [part.strip() for line in lines for part in line.split("&&")]


def shortened(command):
    """The arguments of an ``algd`` command, with tiny sizes where it trains."""
    arguments = shlex.split(command)[1:]
    if arguments[0] not in ("train", "sweep"):
        return arguments
    if "--resume" in arguments:
        longer = str(LAST_STEP + EPOCH)
        return [re.sub(r"^\d{4,}$", longer, argument) for argument in arguments]
    return arguments + TINY_FLAGS


def test_algd_commands(tmp_path, monkeypatch, capsys):
    """On a stand-in that compiles quickly; ``test_cli.py`` trains the task itself."""
    tasks = ("PointButton1", "PointButton2")
    monkeypatch.setattr(registry, "_FACTORIES", dict.fromkeys(tasks, SceneProbe))
    commands = [command for command in shell_commands() if command.startswith("algd ")]
    assert len(commands) >= 6
    monkeypatch.chdir(tmp_path)
    for command in commands:
        assert main(shortened(command)) == 0, f"{command}: {capsys.readouterr().err}"


def test_pip_commands_name_extras_that_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    wanted = re.findall(r'pip install -e "\.\[(\w+)\]"', README)
    assert set(wanted) >= {"test", "cuda"}
    assert set(wanted) <= set(extras)


def test_ci_runs_the_test_command_of_the_readme():
    command = 'pip install -e ".[test]" && pytest'
    assert command in README
    assert command.replace("install", "install --quiet") in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("snippet", blocks("python") + blocks("python", LIBRARY))
def test_snippets(snippet, capsys):
    exec(compile(snippet, "snippet", "exec"), {})
    assert capsys.readouterr().out


def test_the_library_page_names_what_exists():
    named = set(re.findall(r"`(\w+)`", LIBRARY.split("## What there is")[1]))
    assert named - {"AssertionError"} <= set(algd_jax.__all__)


def test_linked_files_exist():
    links = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    assert links
    missing = [link for link in links if not (ROOT / link.partition("#")[0]).exists()]
    assert not missing
