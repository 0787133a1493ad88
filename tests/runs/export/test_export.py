"""``algd export`` from the command line."""

import json
import shutil

import jax
import numpy as np
import pytest

from algd_jax.envs import make
from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import load_agent
from algd_jax.runs.export import export as exporting
from algd_jax.runs.export.forms import FORMS, Calls
from algd_jax.runs.export.runner import Policy
from algd_jax.runs.run import train
from tests.runs.support import LAST_STEP, files, tiny_config

FILES = {
    "policy.onnx",
    "policy.json",
    "policy.npz",
    "policy.stablehlo",
    "policy_sampled.stablehlo",
    "runner.py",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    # Stopped by no limit, so that there is a best policy.
    train(tiny_config(cost_limit=8.0), folder, command=["algd", "train", "--seed", "0"])
    return folder


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy, and quick timings."""
    monkeypatch.setattr("algd_jax.runs.export.checking.CALLS", 3)
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def numpy_only(monkeypatch):
    """The form that compiles nothing."""
    monkeypatch.setattr(exporting, "FORMS", {"numpy": FORMS["numpy"]})


def edit(path, **fields):
    record = json.loads(path.read_text())
    record.update(fields)
    path.write_text(json.dumps(record))


def test_writes_the_policy_and_what_it_is(algd, run, tmp_path):
    before, out = files(run), tmp_path / "new" / "policy"
    code, printed, err = algd(
        "export", run, "--out", out, "--checkpoint", "last", "--onnx", "--json"
    )
    assert (code, err) == (0, "")
    record = json.loads((out / "policy.json").read_text())
    assert json.loads(printed) == record
    assert files(run) == before
    assert {path.name for path in out.iterdir()} == FILES
    assert {name for names in record["files"].values() for name in names} | {"policy.json"} == FILES

    spec = make("ActionProbe").spec
    assert record["observation"] == {"size": spec.observation_size, "dtype": "float32"}
    assert record["action"]["low"] == list(spec.action_low)
    assert record["action"]["high"] == list(spec.action_high)
    assert record["cost_limits"] == {"cost": 8.0}
    assert record["episode_length"] == spec.episode_length
    assert record["control_period"] == spec.control_period
    assert (record["algorithm"], record["policy"]) == ("algd", "diffusion_ve")
    assert (record["checkpoint"], record["step"]) == ("last", LAST_STEP)
    assert record["training"]["command"] == ["algd", "train", "--seed", "0"]
    assert record["training"]["versions"]["jax"] == jax.__version__
    assert record["export"]["command"][:2] == ["algd", "export"]
    assert {(row["form"], row["batch"]) for row in record["latency"]} == {
        (form, batch) for form in ("original", *FORMS) for batch in (1, 1024)
    }
    for row in record["latency"]:
        assert 0 < row["lower_quartile_us"] <= row["median_us"] <= row["upper_quartile_us"]

    trainer = build(RunDirectory(run).read_config())
    agent, _ = load_agent(trainer, RunDirectory(run), "last")
    obs = np.float32([0.3, -0.7])
    wanted = trainer.algorithm.act_deterministic(agent, obs, trainer.config.hyper.as_arrays())
    np.testing.assert_allclose(Policy.load(out)(obs), wanted, atol=1e-5)


@pytest.mark.usefixtures("numpy_only")
def test_evaluation_is_told_of_the_evaluated_policy_only(algd, run):
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert algd("export", run, "--out", run / "same", "--json")[0] == 0
    assert json.loads((run / "same" / "policy.json").read_text())["evaluation"] == evaluation

    edit(run / "evaluation.json", step=1)
    code, printed, _ = algd("export", run)
    assert code == 0
    assert "best feasible policy" in printed
    assert json.loads((run / "policy" / "policy.json").read_text())["evaluation"] is None


@pytest.mark.usefixtures("numpy_only")
def test_bfloat16_runs_are_exported_in_float32(algd, run):
    config = json.loads((run / "config.json").read_text())["config"]
    assert algd("export", run, "--out", run / "float32")[0] == 0
    edit(run / "config.json", config=config | {"agent": config["agent"] | {"compute": "bfloat16"}})
    assert algd("export", run, "--out", run / "bfloat16")[0] == 0
    first, second = (Policy.load(run / name).arrays for name in ("float32", "bfloat16"))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])
    trained = json.loads((run / "bfloat16" / "policy.json").read_text())["training"]["config"]
    assert trained["agent"]["compute"] == "bfloat16"


def test_onnx_is_asked_for(algd, run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = algd("export", run, "--onnx")
    assert code == 2
    assert err == "algd: --onnx: needs ONNX, which is missing: pip install 'algd-jax[onnx]'\n"


@pytest.mark.parametrize("error", [2e-4, np.nan])
@pytest.mark.parametrize("action", ["deterministic", "sampled"])
def test_a_form_that_differs_is_not_exported(algd, run, monkeypatch, error, action):
    def load(contents):
        exact = FORMS["numpy"].load(contents)
        wrong = {action: lambda *inputs: getattr(exact, action)(*inputs) + error}
        return Calls(**(exact._asdict() | wrong))

    broken = FORMS["numpy"]._replace(load=load)
    monkeypatch.setattr(exporting, "FORMS", {"numpy": broken})
    before = files(run)
    code, out, err = algd("export", run, "--out", run / "policy")
    assert (code, out) == (2, "")
    assert err.startswith("algd: run_dir: actions of the form numpy differ by")
    assert files(run) == before
    assert not (run / "policy").exists()


@pytest.mark.usefixtures("numpy_only")
def test_nothing_is_overwritten_and_a_full_disk_leaves_nothing(algd, run, monkeypatch):
    out = run / "policy"
    out.mkdir()
    assert algd("export", run, "--out", out)[0] == 0
    kept = files(out)
    code, _, err = algd("export", run, "--out", out)
    allowed = "allowed is a new or empty folder"
    assert (code, err) == (2, f"algd: --out: {out} is not empty, {allowed}\n")
    assert files(out) == kept

    def create(path, content):
        if path.name == "policy.json":
            raise OSError(28, "No space left on device")
        path.write_bytes(content)

    monkeypatch.setattr("algd_jax.runs.new_folder.create", create)
    code, _, err = algd("export", run, "--out", run / "other")
    assert code == 2
    assert err == f"algd: --out: {run / 'other'} cannot be written (No space left on device)\n"
    assert list((run / "other").iterdir()) == []
