"""Snippets and commands of the how-to pages run."""

import json
import pathlib
import re
import shlex
import sys
from typing import ClassVar

import gymnasium
import pytest

from algd_jax.cli import main
from algd_jax.envs import make, registry
from algd_jax.presets import PRESETS
from algd_jax.runs.run import train
from tests.probes import PartsProbe, ProbeEnv
from tests.runs.render.scene import SceneProbe
from tests.runs.support import TINY_FLAGS, tiny_config

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [
    "adapters.md",
    "own_environment.md",
    "pretrained.md",
    "python.md",
    "reliability.md",
    "sweeps.md",
]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of names of which nothing stays, with a quick stand-in for the navigation task."""
    monkeypatch.setattr(registry, "_FACTORIES", {"PointButton1": ProbeEnv})
    for name in [name for name in gymnasium.registry if name.startswith("algd/")]:
        monkeypatch.delitem(gymnasium.registry, name)
    yield
    for name in [name for name in gymnasium.registry if name.startswith("algd/")]:
        del gymnasium.registry[name]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("page", PAGES)
def test_snippets(
    page: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """They build on each other, from the top of the page to its end."""
    monkeypatch.chdir(tmp_path)
    scope: dict = {}
    for snippet in blocks(page, "python"):
        exec(compile(snippet, page, "exec"), scope)
    assert capsys.readouterr().out


def test_commands(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """In a folder with a file of the example's name, whose environment is quick to compile."""
    factory = "from tests.probes import ActionProbe as make_speed_limit\n"
    (tmp_path / "own_environment.py").write_text(factory)
    monkeypatch.chdir(tmp_path)
    commands = blocks("own_environment.md", "bash")[0].splitlines()
    train, evaluate = (shlex.split(command)[1:] for command in commands)
    assert main(train + TINY_FLAGS) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main([*evaluate, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["env"] == "own_environment:make_speed_limit"


def test_comparing_page(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    for command in blocks("comparing.md", "bash")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    (snippet,) = blocks("comparing.md", "python")
    exec(compile(snippet, "comparing.md", "exec"), {})
    assert "algd Estimate(value=27.9" in capsys.readouterr().out


def test_deploying_page(
    names: None,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY_FLAGS, "--run-dir", "runs/first"]) == 0
    for command in blocks("deploying.md", "bash")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "runner", raising=False)
    for snippet in blocks("deploying.md", "python"):
        capsys.readouterr()
        exec(compile(snippet, "deploying.md", "exec"), {})
        assert capsys.readouterr().out
    del sys.modules["runner"]


def run_commands(page: str, capsys: pytest.CaptureFixture) -> None:
    """Every command of a page, in order, with tiny sizes where it trains."""
    for block in blocks(page, "bash"):
        for command in block.splitlines():
            arguments = shlex.split(command)[1:]
            if arguments[0] in ("train", "sweep") and "--resume" not in arguments:
                arguments += TINY_FLAGS
            assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"


def test_tutorial(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(registry._FACTORIES, "PointButton1", SceneProbe)
    monkeypatch.chdir(tmp_path)
    run_commands("tutorial.md", capsys)
    listed = re.findall(
        r"^\| `([\w.]+)/?` \|", (ROOT / "docs/tutorial.md").read_text(), re.MULTILINE
    )
    assert len(listed) == 6
    assert all((tmp_path / "runs/first" / name).exists() for name in [*listed, "report.html"])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "runner", raising=False)
    (snippet,) = blocks("tutorial.md", "python")
    capsys.readouterr()
    exec(compile(snippet, "tutorial.md", "exec"), {})
    assert capsys.readouterr().out
    del sys.modules["runner"]


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("page", ["choosing.md", "tune_limit.md", "troubleshooting.md"])
def test_commands_of(
    page: str,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    run_commands(page, capsys)


def test_memory_of_presets(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "choosing.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+ GiB) \|$", page, flags=re.MULTILINE))
    assert set(table) == set(PRESETS)
    for name, memory in table.items():
        sweep = ["sweep", "--preset", name, "--seeds", "1", "--dry-run", "--run-dir", "runs/none"]
        assert main(sweep) == 0
        assert f"algd on PointButton1, {memory}\n" in capsys.readouterr().out


def test_resume_page(
    names: None,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    """From a run that is stopped before its first epoch, and with a hundredth of the steps."""
    monkeypatch.chdir(tmp_path)
    train(tiny_config("PointButton1"), "runs/first", stop_requested=lambda: True)
    first, longer = (shlex.split(block)[1:] for block in blocks("resume.md", "bash"))
    assert main(first) == 0, capsys.readouterr().err
    assert main([argument.replace("300000", "300") for argument in longer]) == 0
    (snippet,) = blocks("resume.md", "python")
    exec(compile(snippet.replace("400_000", "400"), "resume.md", "exec"), {})
    assert int(capsys.readouterr().out.splitlines()[-1]) >= 400


def test_looking_page(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(registry._FACTORIES, "PointButton1", SceneProbe)
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--run-dir", "runs/first", *TINY_FLAGS]) == 0
    for command in blocks("looking.md", "bash")[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "first.html").stat().st_size > 1_000_000
    assert (tmp_path / "runs" / "first" / "episodes.png").exists()


class PressedButtons(PartsProbe):
    """Stands in for the navigation task, and names parts of its cost like it."""

    parts: ClassVar = {"cost_hazards": 0.25, "cost_gremlins": 1.0}


def test_command_with_several_constraints(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(PressedButtons.parts) <= set(make("PointButton1").spec.cost_names)
    monkeypatch.setitem(registry._FACTORIES, "PointButton1", PressedButtons)
    monkeypatch.chdir(tmp_path)
    (command,) = blocks("algorithm.md", "bash")
    assert main([*shlex.split(command)[1:], *TINY_FLAGS, "--run-dir", "run"]) == 0
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert evaluation["constraints"]["cost_gremlins"]["cost_mean"] == 8.0
