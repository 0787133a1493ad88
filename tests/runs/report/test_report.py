"""The page of a run: what is on it, and what is refused."""

import dataclasses
import html
import json
import re
import shutil
import subprocess

import pytest

from algd_jax.runs.report import page
from algd_jax.runs.report.report import flatten, save_report
from algd_jax.runs.run import train
from tests.runs.support import files, stop_after, tiny_config


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
        "Calibration",
        "Denoising",
        "Configuration",
        "Circumstances",
    ]
    assert text.count('class="plotly-graph-div"') == 8
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


def test_what_differs_from_the_preset_is_named(written):
    text = written.read_text()
    shown = text.split("<h2>Configuration</h2>")[1].split("<details>")[0]
    assert "loop.num_envs" in shown
    assert "hyper.rho" not in shown
    assert flatten({"a": {"b": 1}, "c": (2,)}) == {"a.b": "1", "c": "(2,)"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "run_dir: nowhere is no run directory (it has no config.json)"),
        (["run", "--episodes", "-1"], "episodes: got -1, allowed is an integer in [0, 10000]"),
        (["run", "--out", "taken.html"], "out: taken.html exists, allowed is a new file"),
        (["run", "--out", "no/where.html"], "out: no/where.html cannot be written (No such file"),
        (["empty"], "run_dir: empty has no epoch yet: nothing to report"),
        (["odd"], "odd/evaluation.json: is no evaluation of a run"),
    ],
)
def test_bad_input_is_one_line(algd, finished, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished, "run")
    shutil.copytree(finished, "odd")
    (tmp_path / "odd" / "evaluation.json").write_text(json.dumps([1]))
    (tmp_path / "empty").mkdir()
    shutil.copy(finished / "config.json", "empty")
    (tmp_path / "taken.html").write_text("mine")
    before = files(tmp_path)
    quick = [] if "--episodes" in arguments else ["--episodes", "0"]
    code, out, err = algd("report", *arguments, *quick)
    assert (code, out) == (2, "")
    assert err.startswith(f"algd: {message}")
    assert err.count("\n") == 1
    assert files(tmp_path) == before


def test_numbers_stand_to_the_right():
    made = page.table(["a", "b"], [["x", "1,000.5"]])
    assert '<td>x</td><td class="number">1,000.5</td>' in made


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_draws_every_chart(written):
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += ["--virtual-time-budget=10000", "--dump-dom", f"file://{written}"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert shown.stdout.count('class="main-svg"') >= 8
    assert "CONSOLE" not in shown.stderr
