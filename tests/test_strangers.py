"""Folders that came from somebody else: they are data, and nothing in them runs or leads out."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from algd_jax import cli
from tests.runs.support import TINY_FLAGS, probes  # noqa: F401

ROOT = Path(__file__).parents[1]
LAST_STEP = 160
TINY = shlex.join(["--env=ActionProbe", *TINY_FLAGS, f"--env-steps={LAST_STEP}"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory, probes):  # noqa: F811
    """A finished tiny run of two epochs."""
    folder = tmp_path_factory.mktemp("strangers") / "run"
    assert cli.main(["train", *shlex.split(TINY), "--run-dir", str(folder)]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of it in the current folder, beside what must not be touched."""
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text("precious")
    monkeypatch.chdir(tmp_path)
    return Path("run")


# Code.

OPTIONAL = "boto3 comet_ml crc32c jax_plugins libtpu nest_asyncio numba orjson tensorflow torch"
COMMANDS = (
    "envs",
    "doctor",
    "watch . --once",
    "evaluate .",
    "evaluate . --env module:attribute",
    "report . --episodes 0 --out ../report.html",
    "render . --out ../episodes.png",
    "play ActionProbe --policy .",
    "landscape . --points 3 --actions 2 --out ../landscape",
    "reproduce . --epochs 1",
    "compare . --out ../comparison",
    "export . --out ../policy",
    f"sweep {TINY} --run-dir ../sweep --dry-run",
    f"train {TINY} --run-dir ../new",
    "completion bash",
    "benchmark nothing",
)


def test_nothing_of_the_current_folder_is_imported(run, tmp_path):
    assert {line.split()[0] for line in COMMANDS} == set(cli.COMMANDS)
    seen, notes = tmp_path / "seen", tmp_path / "notes"
    for name in OPTIONAL.split():
        (run / f"{name}.py").write_text(f"open({str(seen)!r}, 'a').write('{name}\\n')")
    # A module of a plug-in that is announced as if it were installed.
    plugin = run / "plugin-1.0.dist-info"
    plugin.mkdir()
    (plugin / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (plugin / "entry_points.txt").write_text("[jax_plugins]\nplugin = torch\n")
    # What Matplotlib would have LaTeX do.
    (run / "matplotlibrc").write_text("text.usetex: True\nno\x1b[2Jsense: 1\n")
    process = subprocess.run(
        [sys.executable, "-P", "-m", "tests.opening", str(notes), *COMMANDS],
        cwd=run,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    ends = [line for line in process.stdout.splitlines() if line.startswith("exit ")]
    codes = {line.split(": ", 1)[1]: int(line.split()[1][:-1]) for line in ends}
    refused = {"evaluate . --env module:attribute", "benchmark nothing"}
    assert {line: code for line, code in codes.items() if code} == dict.fromkeys(refused, 2)
    assert codes.keys() == set(COMMANDS), process.stderr
    assert not seen.exists()
    assert not notes.exists()
    assert "\x1b" not in process.stderr


def test_an_environment_of_the_current_folder_is_imported(algd, run, monkeypatch):
    """Its module, and no other once that is done."""
    Path("own_probe.py").write_text("from tests.probes import ActionProbe as Probe\n")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = sys.path.copy()
    code, _, err = algd("play", "own_probe:Probe")
    assert (code, err) == (0, "")
    assert sys.path == before
    del sys.modules["own_probe"]
