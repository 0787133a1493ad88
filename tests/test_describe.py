"""Sweeps that were started by hand: what is kept of them and said about them."""

import pytest

from experiments import describe
from tests.runs.support import probes, tiny_config  # noqa: F401
from tests.test_paper import ARGUMENTS, paper, tiny  # noqa: F401


def test_sweeps_are_kept_and_compared_under_their_title(tiny, tmp_path):  # noqa: F811
    paper.main([*ARGUMENTS, *tiny])
    task, out = tmp_path / "runs" / "PointButton1", tmp_path / "described"
    sweeps = [f"Probe/{name}={task / name}" for name in ("sac_lagrangian", "cal")]
    describe.main([str(out), "--title", "By hand", "--sweeps", *sweeps])
    table = (out / "table.md").read_text()
    assert table.startswith("# By hand: 100% of the budget of preset paper\n")
    assert "| sac_lagrangian |" in table
    assert "| cal |" in table
    assert "`Probe/cal`: `python experiments/paper.py" in table
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")

    describe.main([str(out), "--title", "Another"])
    assert (out / "table.md").read_text() == table.replace("By hand", "Another")


@pytest.mark.parametrize("pair", ["Probe/algd", "algd=runs", "Probe/algd=nothing", "=runs"])
def test_a_sweep_that_is_not_there_is_refused_and_nothing_written(pair, tmp_path):
    with pytest.raises(SystemExit, match=r"^describe.py: --sweeps: got .*, allowed is TASK/NAME="):
        describe.main([str(tmp_path / "out"), "--title", "Nothing", "--sweeps", pair])
    assert not (tmp_path / "out").exists()


def test_a_folder_without_sweeps_is_refused_in_one_line(tmp_path):
    with pytest.raises(SystemExit, match=r"^describe.py: .+"):
        describe.main([str(tmp_path), "--title", "Nothing"])
