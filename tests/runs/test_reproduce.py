"""A run is made again bit by bit; where it cannot be, the first difference is named."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from algd_jax.runs.build import build
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.evaluate import load_agent
from algd_jax.runs.reproduce import Difference, first_difference, reproduce
from algd_jax.runs.resuming import resumed_config
from algd_jax.runs.run import train
from algd_jax.training import checkpoint
from tests.runs.support import EPOCH, WARMUP, files, read_lines, stop_after, tiny_config

EPOCHS = 2
STEP = WARMUP + EPOCHS * EPOCH


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("original") / "run"
    train(tiny_config(env_steps=STEP), folder)
    return folder


@pytest.fixture
def run(original, tmp_path):
    """A copy to tamper with."""
    return shutil.copytree(original, tmp_path / "run")


def tamper_log(run, epoch, **fields):
    path = run / "metrics.jsonl"
    records = read_lines(path)
    records[epoch - 1] |= fields
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_a_run_is_equal_and_untouched(original):
    before = files(original)
    comparison = reproduce(original)
    assert comparison == (EPOCHS, STEP, "equal", None, [])
    assert comparison.equal
    assert files(original) == before


def test_the_command_says_so(algd, run):
    code, out, err = algd("reproduce", run)
    assert (code, err) == (0, "")
    assert (
        out.splitlines()[-1] == f"equal bit by bit: {EPOCHS} epochs and the policy of step {STEP}"
    )


def test_a_changed_number_of_the_log_is_named(algd, run):
    lam = read_lines(run / "metrics.jsonl")[1]["lam"]
    tamper_log(run, 2, lam=float(np.nextafter(lam, 2)), wall_time=1e6)
    code, out, err = algd("reproduce", run, "--json")
    assert (code, err) == (1, "")
    answer = json.loads(out)
    assert answer["equal"] is False
    assert answer["difference"] == {
        "name": "lam",
        "recorded": float(np.nextafter(lam, 2)),
        "again": lam,
        "epoch": 2,
    }
    assert (answer["epochs"], answer["policy"]) == (2, None)


def test_it_ends_at_the_first_difference(algd, run):
    tamper_log(run, 1, updates=-1)
    code, out, _ = algd("reproduce", run)
    assert code == 1
    assert out.splitlines()[-1] == "DIFFERENT: updates of epoch 1: recorded -1, now 16"
    assert sum(line.startswith("step ") for line in out.splitlines()) == 1


def test_a_changed_bit_of_the_policy_is_named(algd, run):
    directory = RunDirectory(run)
    agent, step = load_agent(build(directory.read_config()), directory, "last")
    target = jax.tree.map(lambda leaf: jnp.nextafter(leaf, jnp.inf), agent.target_critics.reward)
    critics = agent.target_critics.replace(reward=target)
    changed, owner = agent.replace(target_critics=critics), directory.owner("last")
    checkpoint.save(directory.last, step, changed, owner=owner)
    code, out, err = algd("reproduce", run)
    assert (code, err) == (1, "")
    assert out.splitlines()[-1].startswith("DIFFERENT: target_critics.reward.")


def test_fewer_epochs_and_policies_kept_no_more(algd, run):
    assert reproduce(run, epochs=1)[:3] == (1, WARMUP + EPOCH, "equal")
    shutil.rmtree(run / "checkpoints" / "last" / str(STEP))
    code, out, _ = algd("reproduce", run)
    assert code == 0
    assert out.splitlines()[-1] == (
        f"equal bit by bit: {EPOCHS} epochs (the policy of step {STEP} is not kept)"
    )


def test_stopped_and_resumed_runs(tmp_path):
    folder = tmp_path / "run"
    train(tiny_config(env_steps=STEP), folder, stop_requested=stop_after(1))
    assert reproduce(folder)[:3] == (1, WARMUP + EPOCH, "equal")
    longer = resumed_config(folder, STEP + EPOCH)
    train(longer, folder, resume=True)
    assert reproduce(folder)[:3] == (EPOCHS + 1, STEP + EPOCH, "equal")


def test_other_circumstances_are_told(algd, run):
    path = run / "config.json"
    record = json.loads(path.read_text())
    here = record["versions"]["jax"]
    record["versions"]["jax"] = "0.1\x1b[2J[bold]"
    record["resumed"] = [record | {"device": "gone"}]
    path.write_text(json.dumps(record))
    code, out, _ = algd("reproduce", run, "--epochs", "1")
    assert code == 0
    told = out.splitlines()
    assert f"  versions.jax: recorded '0.1\\x1b[2J[bold]', here '{here}'" in told
    assert any(line.startswith("  device.platform: recorded None, here ") for line in told)


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        ({"lam": 1.0}, {"lam": 1.0}, None),
        ({"wall_time": 1.0}, {"wall_time": 2.0}, None),
        ({"lam": 1.0}, {"lam": 1}, Difference("lam", 1.0, 1, 1)),
        ({"lam": 0.0}, {"lam": -0.0}, Difference("lam", 0.0, -0.0, 1)),
        ({"lam": None}, {}, Difference("lam", None, "nothing", 1)),
        ({}, {"lam": 2}, Difference("lam", "nothing", 2, 1)),
    ],
)
def test_records_are_compared_as_they_are_written(one, other, difference):
    assert first_difference([one], [other]) == difference
