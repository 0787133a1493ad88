"""Train on an environment of your own: Brax's smallest environment, made safe by a speed limit.

    python examples/own_environment.py

A mass on a line earns its position as reward and cannot brake, so it must stop accelerating in
time. The run is far too short to learn that; it shows the way, and takes under a minute on two CPU
cores, nearly all of it compiling. The command line finds the factory too:

    cd examples && algd train --env own_environment:make_speed_limit
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
    """Costs [] of one step, by name: 1 above 0.5 m/s, and the effort."""
    _, speed = next_state.obs
    return {
        "cost_speed": (speed > 0.5).astype(jnp.float32),
        "cost_effort": 0.01 * action[0] ** 2,
    }


def make_speed_limit() -> envs.SafetyEnv:
    return with_cost(
        brax.envs.get_environment("fast"),
        cost,
        name="SpeedLimit",
        cost_limit=5.0,
        episode_length=100,
        control_period=0.02,
    )


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
    envs.register("SpeedLimit", make_speed_limit)
    return train(small(preset("quick", "SpeedLimit")), run_dir)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(main(folder).evaluation)
