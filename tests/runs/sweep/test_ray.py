"""Programs as Ray tasks on a real cluster of two nodes, one of which is killed."""

import dataclasses
import os
from pathlib import Path

import pandas as pd
import pytest

from algd_jax.runs.sweep import make_trials, sweep
from algd_jax.runs.sweep.executors import Resources
from algd_jax.runs.sweep.halving import Halving
from algd_jax.runs.sweep.ray_executor import RayExecutor
from tests.runs.support import EPOCH, TINY_FLAGS, WARMUP, tiny_config

pytest.importorskip("ray")

ROOT = Path(__file__).parents[3]
CONFIG = tiny_config("tests.probes:ActionProbe", env_steps=WARMUP + 10 * EPOCH)
TRIALS = make_trials([CONFIG], [{"rho": 0.5}, {"rho": 2.0}], seeds=1)
SETTINGS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 5,
    "worker_niceness": 0,  # By default workers wait for everything else on the machine.
}


@pytest.fixture
def cluster(monkeypatch):
    """A head and a second node, each with room for one task."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    small = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    head = {**small, "include_dashboard": False, "_system_config": SETTINGS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        second = cluster.add_node(**small)
        yield cluster, second
    finally:
        cluster.shutdown()


@pytest.mark.slow
def test_a_node_that_dies_costs_no_trial_and_counts_none_twice(cluster, tmp_path):
    cluster, second = cluster
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    sweep(TRIALS, calm, members=1)
    lines = []

    def tell(line):
        """Once both tasks have begun, or one is half done: so the second node has one to lose."""
        lines.append(line)
        begun = {line.split("  ")[0] for line in lines if "  epoch " in line}
        ripe = len(begun) == 2 or "  epoch 5/" in line
        if ripe and second in cluster.list_all_nodes():
            cluster.remove_node(second, allow_graceful=False)

    executor = RayExecutor(cluster.address, Resources())
    outcome = sweep(TRIALS, rough, members=1, minutes=0, executor=executor, tell=tell)
    assert (outcome.done, outcome.failed, outcome.complete) == (2, 0, True)
    lost = [line for line in lines if " was lost (" in line]
    assert len(lost) == 1
    assert lost[0].endswith("going on from its last checkpoint")
    number = lost[0].split()[1]
    epochs = [line.split("  ")[1] for line in lines if line.startswith(f"program {number}  ")]
    # It went on where its checkpoint was: none but the epochs in between were made twice.
    assert len(epochs) <= len(set(epochs)) + 2
    for name in ("results.csv", "trials.csv"):
        assert_same_table(rough / name, calm / name)


def test_a_search_is_the_same_on_a_cluster(cluster, tmp_path):
    cluster, _ = cluster
    config = dataclasses.replace(CONFIG, loop=tiny_config(env_steps=WARMUP + 2 * EPOCH).loop)
    trials = make_trials([config], [{"rho": 0.5}, {"rho": 2.0}], seeds=1)
    local, ray = tmp_path / "local", tmp_path / "ray"
    sweep(trials, local, search=Halving(2))
    executor = RayExecutor(cluster.address, Resources())
    outcome = sweep(trials, ray, search=Halving(2), executor=executor)
    assert (outcome.done, outcome.pruned) == (1, 1)
    for name in ("results.csv", "trials.csv"):
        assert_same_table(local / name, ray / name)


def assert_same_table(first, second):
    """To the last digit, but for the clock's column."""
    first, second = (
        pd.read_csv(path, engine="python").drop(columns="wall_time", errors="ignore")
        for path in (first, second)
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("127.0.0.1:9", "nobody answers at 127.0.0.1:9, allowed is"),
        ("ray://127.0.0.1:9", "nobody answers at ray://127.0.0.1:9, allowed is"),
        ("nonsense", "got 'nonsense', allowed is"),
        ("host:port", "got 'host:port', allowed is"),
    ],
)
def test_an_address_nobody_answers_at(algd, tmp_path, address, line):
    folder = tmp_path / "sweep"
    code, _, err = algd(
        "sweep",
        "--env=ActionProbe",
        f"--run-dir={folder}",
        "--executor=ray",
        f"--ray-address={address}",
        *TINY_FLAGS,
    )
    assert code == 2
    allowed = "HOST:PORT of a running Ray cluster, or auto"
    assert err == f"algd: --ray-address: {line} {allowed}\n"
    assert not folder.exists()


def test_a_ray_address_needs_ray(algd, tmp_path):
    flags = ["--env=ActionProbe", f"--run-dir={tmp_path / 'sweep'}", *TINY_FLAGS]
    code, _, err = algd("sweep", *flags, "--ray-address=auto")
    line = "algd: --ray-address: got auto with --executor local, allowed is --executor ray\n"
    assert (code, err) == (2, line)
