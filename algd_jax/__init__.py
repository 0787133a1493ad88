"""ALGD: Augmented-Lagrangian-Guided Diffusion for safe reinforcement learning, in JAX.

The names below need JAX alone. Environments are in ``algd_jax.envs``, presets in
``algd_jax.presets``, the jitted loop in ``algd_jax.training.epoch``, whole runs in
``algd_jax.runs.run``; those also load MuJoCo.
"""

from algd_jax.agents.algorithms import ALGORITHMS, Algorithm, make_algorithm
from algd_jax.agents.update import AgentState, UpdateMetrics
from algd_jax.config import AgentConfig, Config, Hyper, LoopConfig
from algd_jax.diffusion.chain import (
    ChainNoise,
    draw_chain_noise,
    squash_to_box,
    ve_chain,
    zero_chain_noise,
)
from algd_jax.diffusion.schedules import VarianceExploding, variance_exploding
from algd_jax.diffusion.score_target import score_target
from algd_jax.errors import ConfigError
from algd_jax.lagrangian.energy import (
    augmented_lagrangian,
    discounted_budget,
    plain_lagrangian,
    risk,
)
from algd_jax.lagrangian.multiplier import multiplier_loss
from algd_jax.types import Transition

__version__ = "0.1.0"

__all__ = [
    "ALGORITHMS",
    "AgentConfig",
    "AgentState",
    "Algorithm",
    "ChainNoise",
    "Config",
    "ConfigError",
    "Hyper",
    "LoopConfig",
    "Transition",
    "UpdateMetrics",
    "VarianceExploding",
    "augmented_lagrangian",
    "discounted_budget",
    "draw_chain_noise",
    "make_algorithm",
    "multiplier_loss",
    "plain_lagrangian",
    "risk",
    "score_target",
    "squash_to_box",
    "variance_exploding",
    "ve_chain",
    "zero_chain_noise",
]
