import dataclasses

import jax
import pytest

from algd_jax.runs.build import build
from algd_jax.training.memory import Memory, required_memory, tree_bytes
from tests.runs.support import probes, tiny_config  # noqa: F401


def required(agent=None, **loop):
    config = tiny_config(**loop)
    config = dataclasses.replace(config, agent=dataclasses.replace(config.agent, **agent or {}))
    return required_memory(build(config), config.hyper.as_arrays())


def test_the_state_is_counted_to_the_byte():
    config = tiny_config()
    trainer, hyper = build(config), config.hyper.as_arrays()
    state = trainer.init(jax.random.key(0), hyper)
    parts = required().parts
    assert parts["replay_capacity"] == array_bytes(state.replay)
    assert parts["num_envs"] == array_bytes(state.env)
    assert parts["critic_width"] + parts["actor_width"] == array_bytes(state.agent)


def test_replay_and_batches_grow_with_their_rows():
    # obs 2 + action 2 + reward, cost and two flags: 8 numbers of 4 bytes, and a bool; a row of a
    # batch holds the next observation too.
    few, many = required(replay_capacity=1_000), required(replay_capacity=1_000_000)
    assert many.parts["replay_capacity"] - few.parts["replay_capacity"] == 33 * 999_000
    assert many.total - few.total == 33 * 999_000
    batches = required(batch_size=16, updates_per_step=3).parts["batch_size"]
    batches -= required(batch_size=16, updates_per_step=1).parts["batch_size"]
    assert batches == 40 * 16 * 2


def test_environments_of_the_evaluation_count_too():
    parts = required(num_envs=4, eval_episodes=12).parts
    assert parts["eval_episodes"] == 3 * parts["num_envs"]


QUICK = dict(critic_width=64, critic_layers=2, actor_width=64, actor_layers=3)
PAPER = dict(critic_width=256, critic_layers=2, actor_width=128, actor_layers=3)
CHAIN = dict(chain_steps=5, score_samples=4, cost_critics=4, time_features=16)


@pytest.mark.parametrize(("agent", "batch"), [(QUICK, 128), (PAPER, 256)])
def test_the_prediction_is_within_a_tenth_of_what_the_compiler_plans(agent, batch):
    config = tiny_config(batch_size=batch, updates_per_step=2, replay_capacity=2_000)
    sizes = dataclasses.replace(config.agent, **agent, **CHAIN)
    config = dataclasses.replace(config, agent=sizes)
    trainer, hyper = build(config), config.hyper.as_arrays()
    state = jax.eval_shape(trainer.init, jax.random.key(0), hyper)
    epoch = jax.jit(trainer.train_epoch, donate_argnums=0).lower(state, hyper).compile()
    plan = epoch.memory_analysis()
    new = plan.output_size_in_bytes - plan.alias_size_in_bytes
    planned = plan.argument_size_in_bytes + new + plan.temp_size_in_bytes
    needs = required_memory(trainer, hyper)
    predicted = needs.total - needs.allowance - needs.parts["eval_episodes"]
    assert predicted == pytest.approx(planned, rel=0.1)
    # Working memory is most of it here, so the estimate is what is tested.
    assert plan.temp_size_in_bytes > 0.6 * planned


def test_nothing_is_allocated():
    assert required(eval_episodes=10**9).total > 10**10


@pytest.mark.parametrize(
    ("agent", "loop", "field"),
    [
        ({}, {"replay_capacity": 10**9}, "replay_capacity"),
        ({}, {"eval_episodes": 10**9}, "eval_episodes"),
        ({}, {"batch_size": 10**5, "replay_capacity": 10**5, "updates_per_step": 2}, "batch_size"),
        ({"critic_width": 10**5, "critic_layers": 2}, {}, "critic_width"),
        ({"actor_width": 10**5, "actor_layers": 2}, {}, "actor_width"),
    ],
)
def test_the_largest_part_names_its_field(agent, loop, field):
    assert required(agent, **{"env_steps": 10**8, **loop}).largest == field


def test_tree_bytes_counts_shapes():
    assert tree_bytes([jax.ShapeDtypeStruct((3, 2), "float32")]) == 24


def array_bytes(tree):
    return sum(plain(leaf).nbytes for leaf in jax.tree.leaves(tree))


def plain(leaf):
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def test_devices_share_the_data_but_not_the_agent():
    run = Memory({"replay_capacity": 800, "num_envs": 80, "actor_width": 7}, allowance=5)
    shared = Memory({"replay_capacity": 100, "num_envs": 10, "actor_width": 7}, allowance=5)
    assert run.on_each_of(8) == shared
    assert run.on_each_of(1) == run
