"""The page of a run: what is on it, and what is refused."""

import dataclasses
import html
import json
import re
import shutil

import pytest

from algd_jax.envs import registry
from algd_jax.runs.report.circumstances import flatten
from algd_jax.runs.report.report import save_report
from algd_jax.runs.run import train
from tests.runs.render.scene import SceneProbe
from tests.runs.support import files, stop_after, tiny_config

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    train(tiny_config(cost_limit=1000.0), folder, command=["algd", "train", "<script>"])
    return folder


@pytest.fixture(scope="module")
def written(finished):
    return save_report(finished, finished.parent / "report.html", episodes=2)


def titles(text):
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_everything_is_on_one_page(written):
    text = written.read_text()
    assert titles(text) == [
        "Evaluation",
        "Learning",
        "An episode",
        "Calibration",
        "Denoising",
        "Configuration",
        "Circumstances",
    ]
    assert text.count('class="plotly-graph-div"') == 10
    assert "mean cost within the limit." in text
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r'(src|href)="(?!#|data:)', own)  # It opens without a network.


def test_what_the_folder_says_is_escaped(written):
    assert "train <script>" not in written.read_text()
    assert html.escape("algd train <script>") in written.read_text()


def test_nothing_in_the_folder_changes(finished, written):
    before = files(finished)
    save_report(finished, finished.parent / "again.html", episodes=0)
    assert files(finished) == before
    text = (finished.parent / "again.html").read_text()
    assert titles(text) == ["Evaluation", "Learning", "Configuration", "Circumstances"]


def test_a_stopped_run_says_so_and_shows_its_landscape(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config("ProbeEnv", cost_limit=3.9), folder, stop_requested=stop_after(2))
    (folder / "landscape").mkdir()
    shutil.copy(folder / "curves.png", folder / "landscape" / "landscape.png")
    text = save_report(folder, episodes=0).read_text()
    assert "Not complete: 160 of 288 steps; mean cost of the last evaluation not within" in text
    assert "Landscape" in titles(text)
    assert '<img src="data:image/png;base64,' in text


def test_several_constraints_have_rows_and_lines_of_their_own(tmp_path):
    config = dataclasses.replace(
        tiny_config("PartsProbe", cost_limit=(1.0, 2.0)), constraints=("cost_low", "cost_high")
    )
    train(config, tmp_path / "run")
    text = save_report(tmp_path / "run", episodes=1).read_text()
    for name in config.constraints:
        assert f"<td>{name}</td>" in text
        assert f'"name":"evaluation, {name}"' in text
        assert f'"name":"risk of {name}"' in text


def test_what_differs_from_the_preset_is_named(written):
    text = written.read_text()
    shown = text.split("<h2>Configuration</h2>")[1].split("<details>")[0]
    assert "loop.num_envs" in shown
    assert "hyper.kappa" not in shown
    assert flatten({"a": {"b": 1}, "c": (2,)}) == {"a.b": "1", "c": "(2,)"}


def test_an_episode_of_a_task_in_the_plane_is_a_map(tmp_path, monkeypatch):
    monkeypatch.setitem(registry._FACTORIES, "SceneProbe", SceneProbe)
    train(tiny_config("SceneProbe", cost_limit=1.0, env_steps=96), tmp_path / "run")
    text = save_report(tmp_path / "run", episodes=1).read_text()
    section = text.split("<h2>An episode</h2>")[1].split("<h2>Calibration</h2>")[0]
    assert "episode 1: return 6.00, cost 2 (limit 1), 6 steps; the deterministic last" in section
    assert re.findall(r"</i>(\w+(?: \w+)*)</button>", section) == [
        "hazards",
        "path",
        "step with cost",
        "goal",
        "vases",
        "robot",
    ]
    assert '<input type="range" min="0" max="6" value="0" aria-label="moment">' in section
    assert "now cost 1: hazards" not in section  # The probe tells no parts ...
    assert section.count("so far; now cost 1") == 2  # ... but which steps cost.


def test_every_text_of_the_folder_is_escaped(finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    record = json.loads((folder / "config.json").read_text())
    record |= {"start_time": HOSTILE, "git_commit": [HOSTILE], "command": ["algd", HOSTILE]}
    record |= {"device": {HOSTILE: {HOSTILE: HOSTILE}}, "versions": HOSTILE}
    record["config"]["constraints"] = [HOSTILE]
    record["config"]["preset"] = HOSTILE
    (folder / "config.json").write_text(json.dumps(record))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    names = ("cost_mean", "cost_std", "cost_limit", "cost_interval")
    evaluation["constraints"] = {HOSTILE: {name: evaluation[name] for name in names}}
    (folder / "evaluation.json").write_text(json.dumps(evaluation | {"env": HOSTILE}))
    text = save_report(folder, episodes=0).read_text()
    assert html.escape(HOSTILE) in text
    assert "<script>alert" not in text
    assert "<img" not in re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_a_run_that_lost_its_numbers_is_reported_with_dashes(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config("ProbeEnv"), folder, stop_requested=stop_after(1))
    (folder / "metrics.jsonl").write_text('{"step": 96, "eval_return": null}\n')
    text = save_report(folder, episodes=0).read_text()
    assert "mean cost of the last evaluation not within the limit" in text
    assert "<td>return</td><td>–</td>" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "folder: nowhere is no run directory (it has no config.json) and no sweep"),
        (["run", "--episodes", "-1"], "--episodes: got -1, allowed is an integer in [0, 10000]"),
        (["run", "--out", "taken.html"], "--out: taken.html exists, allowed is a new file"),
        (["run", "--out", "taken.html/x"], "--out: "),
        (["empty"], "run_dir: empty has no epoch yet: nothing to report"),
        (["empty", "--out", "taken.html"], "--out: taken.html exists, allowed is a new file"),
        (["odd"], "odd/evaluation.json: is no evaluation of a run"),
        (["without", "--episodes", "1"], "run_dir: without has no checkpoint"),
        (["drawn"], "run_dir: drawn/landscape/landscape.png is no picture of algd landscape"),
        (["linked"], "run_dir: linked/landscape/landscape.png leads out of the run directory"),
        (["begun"], "folder: begun is a sweep without results yet: nothing to report"),
    ],
)
def test_bad_input_is_one_line(algd, finished, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "run")
    shutil.copytree(finished, "odd")
    (tmp_path / "odd" / "evaluation.json").write_text(json.dumps([1]))
    (tmp_path / "empty").mkdir()
    shutil.copy(finished / "config.json", "empty")
    shutil.copytree(finished, "without", ignore=shutil.ignore_patterns("checkpoints"))
    shutil.copytree(finished, "drawn")
    (tmp_path / "drawn" / "landscape").mkdir()
    (tmp_path / "drawn" / "landscape" / "landscape.png").write_text("none")
    shutil.copytree("drawn", "linked")
    (tmp_path / "linked" / "landscape" / "landscape.png").unlink()
    (tmp_path / "linked" / "landscape" / "landscape.png").symlink_to(finished / "curves.png")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "sweep.json").write_text("{}")
    (tmp_path / "taken.html").write_text("mine")
    before = files(tmp_path)
    quick = [] if "--episodes" in arguments else ["--episodes", "0"]
    code, out, err = algd("report", *arguments, *quick)
    assert (code, out) == (2, "")
    assert err.startswith(f"algd: {message}")
    assert err.count("\n") == 1
    assert files(tmp_path) == before
