"""A tiny finished run as somebody else's folder."""

import shlex
import shutil
from pathlib import Path

import pytest

from algd_jax import cli
from tests.runs.support import probes  # noqa: F401
from tests.strangers.watching import TINY


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
