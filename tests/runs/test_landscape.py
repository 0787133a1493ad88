import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.agents.landscape import energies
from algd_jax.errors import ConfigError
from algd_jax.runs import landscape
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import load_agent, make_evaluate, run_episodes
from algd_jax.runs.landscape import View, choose_directions, explore, visited_obs
from algd_jax.runs.landscape_pictures import (
    boundary,
    boundary_label,
    highest_rise,
    interactive,
    rises,
)
from algd_jax.runs.run import train
from tests.envs.test_interface import precisions
from tests.probes import TerminatingProbe
from tests.runs.support import EPOCH, WARMUP, tiny_config

SMALL = View(points=9, actions=16, step=3)


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, probes):
    folder = tmp_path_factory.mktemp("landscape") / "run"
    train(tiny_config(env_steps=WARMUP + EPOCH), folder)
    return folder


@pytest.fixture(scope="module")
def found(run_dir):
    return explore(run_dir, SMALL)


def test_survey_covers_the_box_with_finite_heights(found):
    u, v = found.survey.axes
    assert (u[0], u[-1], v[0], v[-1]) == pytest.approx((-1, 1, -0.5, 1.5))
    for leaf in jax.tree.leaves(found.survey.heights):
        assert leaf.shape == (9, 9)
        assert np.isfinite(leaf).all()
    assert found.survey.actions.shape == (16, 2)


def test_energies_are_not_rounded_as_accelerators_do(run_dir):
    trainer = build(RunDirectory(run_dir).read_config())
    key, hyper = jax.random.key(0), trainer.config.hyper.as_arrays()
    agent = jax.eval_shape(trainer.algorithm.init, key, hyper)
    survey = landscape._jitted_survey(trainer, SMALL)
    program = jax.make_jaxpr(survey)(agent, jnp.zeros(2), jnp.eye(2), key, hyper)
    assert precisions(program) == {jax.lax.Precision.HIGHEST}


def test_heights_are_laid_out_as_rows_of_v(found, run_dir):
    """At the grid's corner the height is the energy of that corner's action."""
    directory = RunDirectory(run_dir)
    trainer = build(directory.read_config())
    agent, _ = load_agent(trainer, directory, found.figures["checkpoint"])
    seed, hyper = trainer.config.seed, trainer.config.hyper.as_arrays()
    obs = landscape.state_of_episode(trainer, agent, seed, SMALL.step)
    plain, _, _ = energies(trainer.algorithm, agent, obs, hyper)
    heights = found.survey.heights.plain
    assert heights[0, -1] == pytest.approx(float(plain(jnp.array([1.0, -0.5]))), rel=1e-4)
    assert heights[-1, 0] == pytest.approx(float(plain(jnp.array([-1.0, 1.5]))), rel=1e-4)


def test_the_state_is_one_the_evaluation_visits(run_dir):
    """The probe's observations depend on the key alone, so the episode's key must be the one."""
    directory = RunDirectory(run_dir)
    trainer = build(directory.read_config())
    agent, _ = load_agent(trainer, directory, "last")
    hyper = trainer.config.hyper.as_arrays()
    key = stream_key(5, Stream.FINAL_EVALUATION)
    outcome = run_episodes(make_evaluate(trainer), agent, key, hyper, 1)

    total = 0.0
    for step in range(trainer.env.spec.episode_length):
        obs = landscape.state_of_episode(trainer, agent, 5, step)
        total += float(trainer.algorithm.act_deterministic(agent, obs, hyper)[0])
    assert total == pytest.approx(outcome.returns[0], rel=1e-4)  # The reward is action[0].


def test_steps_after_termination_are_counted_out():
    key, policy = jax.random.key(0), lambda obs: jnp.zeros(2)
    for step, lived in ((0, 0), (2, 2), (3, 2), (6, 2)):
        assert visited_obs(TerminatingProbe(), policy, key, step)[1] == lived


def test_figures(found):
    figures = found.figures
    assert (figures["env"], figures["rho"], figures["actions"]) == ("ActionProbe", 1.0, 16)
    assert figures["state"] == {"seed": 0, "step": 3}
    assert figures["directions"] == [[1, 0], [0, 1]]
    assert 0 <= figures["actions_within_budget"] <= 1
    for kind in ("hessian", "mean_hessian"):
        assert set(figures[kind]) == {"plain", "augmented"}
        for energy in figures[kind].values():
            assert 0 <= energy["negative"] <= 1
            assert np.isfinite(energy["median"])


def test_boundary_lies_where_risk_is_the_budget(found):
    u, v = found.survey.axes
    tilted = found.survey.heights.replace(excess=np.add.outer(0 * v, u - 0.25))
    survey = found.survey.replace(heights=tilted)
    plane = np.add.outer(2 * v, 3 * u)
    ((line, heights),) = boundary(survey, plane)
    np.testing.assert_allclose(line[:, 0], 0.25, atol=1e-6)
    np.testing.assert_allclose(heights, 3 * 0.25 + 2 * line[:, 1], atol=1e-5)


def test_a_missing_boundary_is_explained(found):
    heights = found.survey.heights
    for excess, words in ((-1.0, "all in view is within"), (1.0, "all in view is beyond")):
        constant = heights.replace(excess=np.full_like(heights.excess, excess))
        survey = found.survey.replace(heights=constant)
        assert words in boundary_label(survey)
        assert list(boundary(survey, heights.plain)) == []


def test_page_shows_both_energies_on_one_scale(found):
    page = interactive(found.survey, found.picture)
    kinds = [trace.type for trace in page.data]
    for kind in ("surface", "contour", "scatter", "scatter3d"):
        assert kinds.count(kind) >= 2
    scale = (page.layout.coloraxis.cmin, page.layout.coloraxis.cmax)
    assert scale == (0, highest_rise(found.survey))
    assert [height.min() for height in rises(found.survey)] == [0, 0]
    assert all(t.coloraxis == "coloraxis" for t in page.data if t.type in ("surface", "contour"))
    assert page.layout.scene.xaxis.title.text == "action[0]"
    assert page.layout.yaxis.title.text == "action[1]"
    assert page.layout.title.text == found.picture.title


def test_command_writes_pictures_and_numbers(algd, run_dir, tmp_path):
    small = ["--points", 9, "--actions", 16, "--directions", "random", "--out", tmp_path / "x"]
    code, out, err = algd("landscape", run_dir, *small, "--html", "--json", "--seed", 4)
    assert (code, err) == (0, "")
    assert json.loads(out) == json.loads((tmp_path / "x" / "landscape.json").read_text())
    assert (tmp_path / "x" / "landscape.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "x" / "landscape.html").read_text()
    assert "<script src=" not in page  # Self-contained.
    assert "augmented Lagrangian" in page


def test_a_state_from_a_file(algd, run_dir, tmp_path):
    np.save(tmp_path / "state.npy", np.array([0.5, -0.5]))
    view = ["--points", 9, "--actions", 16, "--state", tmp_path / "state.npy"]
    code, out, err = algd("landscape", run_dir, *view)
    assert (code, err) == (0, "")
    assert "smallest eigenvalue" in out
    assert str(run_dir / "landscape" / "landscape.png") in out
    figures = json.loads((run_dir / "landscape" / "landscape.json").read_text())
    assert figures["state"] == {"file": str(tmp_path / "state.npy")}


def test_no_run_and_no_plotly_are_one_line(algd, run_dir, tmp_path, monkeypatch):
    code, _, err = algd("landscape", tmp_path / "none")
    assert (code, err.count("\n")) == (2, 1)
    assert "is no run directory" in err
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = algd("landscape", run_dir, "--html")
    assert code == 2
    assert err == "algd: --html: needs Plotly, which is missing: pip install 'algd-jax[report]'\n"


def test_one_action_dimension_makes_no_landscape():
    with pytest.raises(ConfigError, match="env: has 1 action dimension, a landscape needs 2"):
        choose_directions("0,1", 1, jax.random.key(0))
