import importlib.util
import io
import json
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from algd_jax.envs import registry
from algd_jax.errors import ConfigError
from algd_jax.runs import memory
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import evaluate_run
from algd_jax.runs.render import opengl
from algd_jax.runs.render import render as rendering
from algd_jax.runs.render.render import Look, play_env, render_run
from algd_jax.runs.run import train
from algd_jax.runs.tables import print_episodes
from tests.probes import DiscountedProbe, PartsProbe, TerminatingProbe
from tests.runs.render.scene import SceneProbe
from tests.runs.support import EPOCH, WARMUP, files, tiny_config


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory, probes):
    folder = tmp_path_factory.mktemp("render") / "run"
    train(tiny_config(env_steps=WARMUP + EPOCH), folder)
    return folder


@pytest.fixture(autouse=True)
def more_probes(monkeypatch):
    for kind in (SceneProbe, TerminatingProbe, DiscountedProbe, PartsProbe):
        monkeypatch.setitem(registry._FACTORIES, kind.__name__, kind)
    wide = partial(PartsProbe, observation_size=3)
    monkeypatch.setitem(registry._FACTORIES, "WideProbe", wide)


def test_a_run_is_rendered_in_the_episodes_that_evaluate_plays(run_dir, tmp_path):
    out = tmp_path / "new" / "curves.png"
    shown = render_run(run_dir, Look(episodes=5, seed=3), "last", out)
    evaluated = evaluate_run(run_dir, "last", 5, 3)
    returns = [episode["return"] for episode in shown.figures()["episodes"]]
    assert np.mean(returns) == pytest.approx(evaluated.return_mean, rel=1e-5)
    assert np.std(returns, ddof=1) == pytest.approx(evaluated.return_std, rel=1e-4)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_render_writes_one_file_beside_the_run_and_changes_nothing_else(run_dir, algd):
    before = files(run_dir)
    code, out, err = algd("render", run_dir, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert answer["file"] == str(run_dir / "episodes.png")
    assert answer["policy"].endswith(f"{WARMUP + EPOCH} steps")
    assert answer["limits"] == {"cost": 2.0}
    assert [episode["length"] for episode in answer["episodes"]] == [8]
    after = files(run_dir)
    assert after.pop("episodes.png")
    assert after == before

    code, _, err = algd("render", run_dir)
    assert (code, err) == (
        2,
        f"algd: out: {run_dir / 'episodes.png'} exists, allowed is a new file\n",
    )
    (run_dir / "episodes.png").unlink()


def test_play_tells_return_cost_and_length_of_every_episode(algd, monkeypatch, tmp_path):
    monkeypatch.setattr(rendering, "find_context", lambda: pytest.fail("no video was asked for"))
    code, out, err = algd("play", "SceneProbe", "--episodes", "2", "--out", tmp_path / "x.html")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if line.startswith("| ")]
    assert rows[0][1:8:2] == ["episode", "return", "cost", "2)"]
    assert [row[1:8:2] for row in rows[1:]] == [["1", "6.00", "2", "6"], ["2", "6.00", "2", "6"]]
    assert "SceneProbe: random actions; seed 0" in out
    assert (tmp_path / "x.html").read_text().startswith("<!DOCTYPE html>")


def test_play_ends_where_the_episode_ends_and_sums_costs_as_the_limit_does():
    (ended,) = play_env("TerminatingProbe").episodes
    assert (len(ended), ended.returns_so_far[-1], len(ended.states["time"])) == (3, 3, 4)
    shown = play_env("DiscountedProbe").figures()
    assert shown["limits"] == {"cost": 3.0}
    assert shown["episodes"][0]["cost"] == pytest.approx(sum(0.5 * 0.5**step for step in range(8)))


def test_random_actions_fill_their_range_and_depend_on_the_seed():
    first = play_env("ActionProbe", Look(episodes=20)).episodes
    again = play_env("ActionProbe", Look(episodes=20, seed=0)).episodes
    other = play_env("ActionProbe", Look(episodes=20, seed=1)).episodes
    drawn, repeated, others = (
        np.concatenate([episode.rewards for episode in shown]) for shown in (first, again, other)
    )
    np.testing.assert_array_equal(drawn, repeated)
    assert not np.any(drawn == others)
    assert len(np.unique(drawn)) == 160
    assert -1 <= drawn.min() < -0.9 < 0.9 < drawn.max() <= 1


def test_play_takes_the_policy_of_a_run_where_it_fits(run_dir):
    guest = play_env(
        "SceneProbe", Look(), run_dir, force=True
    )  # It has the sizes of the run's environment.
    assert guest.figures()["policy"].startswith("best policy of ")
    assert guest.actor.limits == {"cost": 2.0}
    own = play_env("ActionProbe", Look(episodes=2), run_dir, "last")
    # The same start gives other rewards than random actions do.
    random = play_env("ActionProbe", Look(episodes=2))
    assert not np.any(own.episodes[0].rewards == random.episodes[0].rewards)


def test_all_limited_costs_are_told():
    shown = play_env("PartsProbe")
    actor = shown.actor._replace(limits={"cost_low": 2.0, "cost_high": 9.0})
    screen = io.StringIO()
    print_episodes(Console(file=screen, width=120), shown._replace(actor=actor))
    rows = [line.split("|") for line in screen.getvalue().splitlines() if line.startswith("| ")]
    told = dict(zip(*([cell.strip() for cell in row] for row in rows), strict=True))
    assert told["cost"] == "10"
    assert told["cost_low (limit 2)"] == "2"
    assert told["cost_high (limit 9)"] == "8"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes", "0"], "--episodes: got 0, allowed is an integer from 1 to 100"),
        (["--episodes", "101"], "--episodes: got 101, allowed is an integer from 1 to 100"),
        (["--seed", "-1"], "--seed: got -1, allowed is an integer in [0, 2**32)"),
        (
            ["--out", "x.avi"],
            "--out: got 'x.avi', allowed is a file that ends in .mp4, .gif, .html or .png",
        ),
        (
            ["--out", "x"],
            "--out: got 'x', allowed is a file that ends in .mp4, .gif, .html or .png",
        ),
        (["--out", "taken.png"], "--out: taken.png exists, allowed is a new file"),
        (["--camera", "front"], "--camera: got 'front', allowed is side or top"),
        (
            ["--out", "x.gif"],
            "env: ActionProbe cannot be drawn; let --out end in .png or .html for curves",
        ),
    ],
)
def test_bad_arguments_end_in_one_line(run_dir, tmp_path, monkeypatch, algd, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendering, "play", lambda *_: pytest.fail("it was played"))
    (tmp_path / "taken.png").write_bytes(b"precious")
    for words in (["render", run_dir], ["play", "ActionProbe"]):
        code, _, err = algd(*words, *arguments)
        assert (code, err.splitlines()[-1]) == (2, f"algd: {message}")
        assert len(err.splitlines()) == 1
    assert list(files(tmp_path)) == ["taken.png"]
    assert (tmp_path / "taken.png").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("plotly", "x.html", "report"), ("imageio_ffmpeg", "x.mp4", "video")],
)
def test_a_missing_library_is_named(run_dir, monkeypatch, module, name, extra):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda wanted: None if wanted == module else find(wanted)
    )
    with pytest.raises(ConfigError, match=rf"missing: pip install 'algd-jax\[{extra}\]'"):
        render_run(run_dir, Look(), None, run_dir / name)


def test_a_missing_renderer_is_found_out_before_anything_is_played(tmp_path, monkeypatch):
    monkeypatch.setattr(opengl, "_works", lambda way: False)
    monkeypatch.setattr(rendering, "play", lambda *_: pytest.fail("it was played"))
    with pytest.raises(ConfigError, match=r"renderer: MuJoCo cannot draw here"):
        play_env("SceneProbe", Look(), None, None, tmp_path / "x.gif")


def test_what_cannot_be_written_is_said_before_anything_is_played(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(rendering, "play", lambda *_: pytest.fail("it was played"))
    with pytest.raises(ConfigError, match="is no folder that can be written to"):
        play_env("SceneProbe", Look(), None, None, tmp_path / "file" / "x.png")


def test_folders_without_a_policy_are_named(tmp_path, algd):
    code, _, err = algd("render", tmp_path)
    assert (code, len(err.splitlines())) == (2, 1)
    directory = RunDirectory(tmp_path / "run")
    directory.create(tiny_config(), ["algd", "train"])
    for words in (["render", directory.path], ["play", "ActionProbe", "--policy", directory.path]):
        code, _, err = algd(*words)
        assert (code, err) == (2, f"algd: run_dir: {directory.path} has no checkpoint\n")


def test_a_policy_that_does_not_fit_is_named(run_dir):
    with pytest.raises(ConfigError, match="ActionProbe with 2 observations and 2 actions, Wide"):
        play_env("WideProbe", Look(), run_dir)
    with pytest.raises(ConfigError, match=r"checkpoint: got best without a run"):
        play_env("ActionProbe", Look(), None, "best")


def test_episodes_that_do_not_fit_in_memory_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 100)
    with pytest.raises(ConfigError, match=r"episodes: got 3, whose states need .* are available"):
        play_env("ActionProbe", Look(episodes=3))


def test_what_is_no_number_is_named():
    with pytest.raises(ConfigError, match=r"reward of BrokenProbe is NaN .* step 5 of episode 1"):
        play_env("BrokenProbe")


def test_all_episodes_are_one_program(monkeypatch):
    traced = []
    step = SceneProbe.step

    def counted(self, state, action):
        traced.append(None)
        return step(self, state, action)

    monkeypatch.setattr(SceneProbe, "step", counted)
    assert len(play_env("SceneProbe", Look(episodes=7)).episodes) == 7
    assert len(traced) <= 3  # Shapes, and the program; not once per episode or step.
