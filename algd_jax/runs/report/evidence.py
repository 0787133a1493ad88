"""What a report measures of a policy: how true its critics are, and how it denoises."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from algd_jax.agents.diffusion_actor import DiffusionActor
from algd_jax.agents.landscape import box_limits, energies, plane_through
from algd_jax.agents.state import AgentState
from algd_jax.config import Hyper
from algd_jax.diffusion.chain import draw_chain_noise
from algd_jax.envs import EpisodeWrapper
from algd_jax.envs.base import in_full_precision
from algd_jax.lagrangian.energy import augmented_lagrangian
from algd_jax.runs.memory import check_episodes
from algd_jax.training.epoch import Trainer, make_transition
from algd_jax.training.evaluation import discounted_sums

_GRID = 41
_STATES = 20


class Calibration(struct.PyTreeNode):
    """Critics' values beside what came of them, at n states of episodes, for C constraints.

    Attributes:
      reward_value: [n] of the policy's actions.
      risk: [n, C] likewise.
      realised_return: [n] discounted sums from there on.
      realised_cost: [n, C] likewise.
    """

    reward_value: jax.Array
    risk: jax.Array
    realised_return: jax.Array
    realised_cost: jax.Array


class Denoising(struct.PyTreeNode):
    """What the chain does with S draws of noise at one state, in the first two action dimensions.

    Attributes:
      axes: [2, G] coordinates of the grid.
      energy: [G, G] the algorithm's Lagrangian, row = second dimension.
      excess: [G, G] risk above the budget.
      actions: [K + 1, S, 2] squashed latents: the noise first, the actions last.
    """

    axes: jax.Array
    energy: jax.Array
    excess: jax.Array
    actions: jax.Array


@in_full_precision
def calibrate(
    trainer: Trainer, agent: AgentState, key: jax.Array, hyper: Hyper, episodes: int
) -> tuple[Calibration, jax.Array]:
    """Play episodes of the deterministic policy, and compare its critics with what came of it.

    States are of the first half of each episode: what is still to come at its end is missing from
    the realised sums, and by then is discounted away.

    Returns:
      The calibration at ``_STATES`` states per episode, and one observation [O] of the first.

    Raises:
      ConfigError: if what has to be kept does not fit in memory.
    """
    config, length = trainer.config, trainer.env.spec.episode_length
    env = EpisodeWrapper(trainer.env, config.limited_parts)

    def step(state, _):
        actions = jax.vmap(lambda obs: trainer.algorithm.act_deterministic(agent, obs, hyper))(
            state.obs
        )
        after = env.step(state, actions)
        return after, (make_transition(config, state.obs, actions, after), after.done)

    state = env.reset(jax.random.split(key, episodes))
    _, (made, done) = jax.lax.scan(step, state, length=length)
    check_episodes(made, episodes)  # Before anything is allocated, where this is traced.
    cost = made.cost.reshape(length, episodes, -1)
    returns = discounted_sums(made.reward, hyper.discount, jnp.maximum(made.terminated, done))
    cost_ends = jnp.maximum(made.cost_terminated, done)[..., None]
    costs = discounted_sums(cost, hyper.cost_discount, cost_ends)
    rows = jnp.linspace(0, length // 2, _STATES).astype(jnp.int32)
    reward_value, risk = trainer.algorithm.judge(agent, made.obs[rows], made.action[rows], hyper)
    count = _STATES * episodes
    found = Calibration(
        reward_value.ravel(),
        risk.reshape(count, -1),
        returns[rows].ravel(),
        costs[rows].reshape(count, -1),
    )
    return found, made.obs[length // 4, 0]


@in_full_precision
def denoise(
    trainer: Trainer, agent: AgentState, obs: jax.Array, key: jax.Array, hyper: Hyper, samples: int
) -> Denoising | None:
    """The chain at one observation [O]; None for what has no chain or fewer than two actions."""
    algorithm, spec = trainer.algorithm, trainer.env.spec
    actor = algorithm.actor
    if not isinstance(actor, DiffusionActor) or spec.action_size < 2:
        return None
    steps = trainer.config.agent.chain_steps
    keys = jax.random.split(key, samples)
    noises = jax.vmap(lambda one: draw_chain_noise(one, steps, spec.action_size))(keys)
    seen = algorithm.seen(agent, obs)
    latents = jax.vmap(partial(actor.latents, algorithm.policy(agent), seen, hyper=hyper))(
        noise=noises
    )
    is_exploding = trainer.config.agent.diffusion == "ve"
    largest = actor.schedule(hyper).sigmas[-1] if is_exploding else 1.0
    start = largest * noises.initial
    chain = jnp.concatenate([latents, start[:, None]], axis=1)[:, ::-1]
    actions = actor.squash(chain)[..., :2].swapaxes(0, 1)

    centre = algorithm.act_deterministic(agent, obs, hyper)
    plane = plane_through(centre, jnp.eye(spec.action_size)[:2])
    limits = box_limits(plane, centre, jnp.array(spec.action_low), jnp.array(spec.action_high))
    axes = jnp.linspace(limits[:, 0], limits[:, 1], _GRID, axis=1)
    grid = plane.action(jnp.stack(jnp.meshgrid(*axes), axis=-1))
    plain, augmented, excess = energies(algorithm, agent, obs, hyper)
    guide = augmented if algorithm.lagrangian is augmented_lagrangian else plain
    heights, above = (jax.vmap(jax.vmap(energy))(grid) for energy in (guide, excess))
    return Denoising(axes, heights, above, actions)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What was measured of a run's policy; NumPy leaves.

    Attributes:
      calibration: of its critics.
      denoising: of its chain, if it has one that can be drawn.
    """

    calibration: Calibration
    denoising: Denoising | None


def gather(
    trainer: Trainer, agent: AgentState, key: jax.Array, episodes: int, samples: int = 64
) -> Evidence:
    """Measure a policy; compiles one program with the environment."""
    hyper = trainer.config.hyper.as_arrays()
    episode_key, noise_key = jax.random.split(key)
    played = jax.jit(partial(calibrate, trainer, hyper=hyper, episodes=episodes))
    calibration, obs = played(agent, episode_key)
    chain = jax.jit(partial(denoise, trainer, hyper=hyper, samples=samples))
    return Evidence(*jax.device_get((calibration, chain(agent, obs, noise_key))))
