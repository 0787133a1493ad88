"""Train on an environment of your own: Brax's inverted pendulum, made safe by a cost.

    python examples/own_environment.py

Keeps the pendulum up while the cart stays near the middle. The run is far too short to learn that;
it shows the way, and takes under a minute on two CPU cores, nearly all of it compiling. The command
line finds the factory too:

    cd examples && algd train --env own_environment:make_safe_pendulum
"""

import dataclasses
import tempfile

import brax.envs
import jax.numpy as jnp

from algd_jax import AgentConfig, Config, envs
from algd_jax.envs.adapters import with_cost
from algd_jax.presets import preset
from algd_jax.runs.run import RunResult, train


def cost(state, action, next_state):
    """Costs [] of one step, by name: 1 where the cart has left the middle, and the effort."""
    position = next_state.pipeline_state.q[0]  # [m]
    return {
        "cost_far": (jnp.abs(position) > 0.1).astype(jnp.float32),
        "cost_effort": 0.1 * action[0] ** 2,
    }


def make_safe_pendulum() -> envs.SafetyEnv:
    pendulum = brax.envs.get_environment("inverted_pendulum", backend="spring")
    return with_cost(pendulum, cost, name="SafePendulum", cost_limit=5.0, episode_length=100)


def small(config: Config) -> Config:
    """The same configuration at a size that trains within seconds."""
    loop = dataclasses.replace(
        config.loop,
        env_steps=2_400,
        num_envs=8,
        warmup_steps=800,
        updates_per_step=1,
        batch_size=32,
        replay_capacity=2_400,
        epoch_steps=800,
        eval_episodes=4,
        final_eval_episodes=4,
    )
    agent = AgentConfig(critic_width=16, actor_width=16)
    return dataclasses.replace(config, loop=loop, agent=agent)


def main(run_dir: str) -> RunResult:
    envs.register("SafePendulum", make_safe_pendulum)
    return train(small(preset("quick", "SafePendulum")), run_dir)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(main(folder).evaluation)
