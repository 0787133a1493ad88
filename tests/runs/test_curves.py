import pytest
from matplotlib.figure import Figure

from algd_jax.runs.curves import save_curves


def record(step, episode_return=None):
    return {
        "step": step,
        "episode_return": episode_return,
        "episode_cost": episode_return,
        "eval_return": 1.0,
        "eval_cost": 2.0,
        "lam": 0.5,
    }


def test_axes_are_labelled_and_the_limit_is_drawn(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    save_curves(tmp_path / "curves.png", [record(10), record(20, 3.0)], {"cost": 7.0}, "a run")
    returns, costs, multiplier = figures[0].axes
    assert [axes.get_ylabel() for axes in figures[0].axes] == [
        "return [reward / episode]",
        "cost [cost / episode]",
        "λ [reward / cost]",
    ]
    assert multiplier.get_xlabel() == "environment steps"
    assert figures[0].get_suptitle() == "a run"
    limit = next(line for line in costs.get_lines() if line.get_label() == "limit 7")
    assert list(limit.get_ydata()) == [7.0, 7.0]
    training = next(line for line in returns.get_lines() if "training" in line.get_label())
    assert list(training.get_xdata()) == [20]


@pytest.mark.parametrize("records", [[record(10)], [record(10, 1.0), record(20)]])
def test_short_runs_make_a_picture(tmp_path, records):
    save_curves(tmp_path / "curves.png", records, {"cost": 7.0}, "a run")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
