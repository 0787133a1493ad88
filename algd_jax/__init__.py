"""ALGD: Augmented-Lagrangian-Guided Diffusion for safe reinforcement learning, in JAX.

The names below need JAX alone, but for ``train`` and ``Run``, which load MuJoCo when they are first
used. Environments are in ``algd_jax.envs``, presets in ``algd_jax.presets``, the jitted loop in
``algd_jax.training.epoch``.
"""

from typing import TYPE_CHECKING, Any

from algd_jax.agents.algorithms import ALGORITHMS, Algorithm, make_algorithm
from algd_jax.agents.critics import CriticValues, td_targets
from algd_jax.agents.state import AgentState, UpdateMetrics
from algd_jax.config import AgentConfig, Config, HealthConfig, Hyper, LoopConfig
from algd_jax.diffusion.chain import (
    ChainNoise,
    ddpm_chain,
    draw_chain_noise,
    reverse_chain,
    squash_to_box,
    ve_chain,
    zero_chain_noise,
)
from algd_jax.diffusion.schedules import (
    Denoising,
    VarianceExploding,
    denoising,
    variance_exploding,
)
from algd_jax.diffusion.score_target import score_target
from algd_jax.errors import ConfigError
from algd_jax.lagrangian.energy import (
    augmented_lagrangian,
    discounted_budget,
    plain_lagrangian,
    risk,
)
from algd_jax.lagrangian.multiplier import (
    MultiplierRule,
    log_adam,
    multiplier_loss,
    no_multiplier,
    pid,
    projected_gradient,
    rectified,
)
from algd_jax.lagrangian.penalty import PenaltyRule, fixed_penalty, growing_penalty
from algd_jax.types import Transition

if TYPE_CHECKING:
    from algd_jax.runs.api import Policy, Run, train

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("Policy", "Run", "train"):
        from algd_jax.runs import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "ALGORITHMS",
    "AgentConfig",
    "AgentState",
    "Algorithm",
    "ChainNoise",
    "Config",
    "ConfigError",
    "CriticValues",
    "Denoising",
    "HealthConfig",
    "Hyper",
    "LoopConfig",
    "MultiplierRule",
    "PenaltyRule",
    "Policy",
    "Run",
    "Transition",
    "UpdateMetrics",
    "VarianceExploding",
    "augmented_lagrangian",
    "ddpm_chain",
    "denoising",
    "discounted_budget",
    "draw_chain_noise",
    "fixed_penalty",
    "growing_penalty",
    "log_adam",
    "make_algorithm",
    "multiplier_loss",
    "no_multiplier",
    "pid",
    "plain_lagrangian",
    "projected_gradient",
    "rectified",
    "reverse_chain",
    "risk",
    "score_target",
    "squash_to_box",
    "td_targets",
    "train",
    "variance_exploding",
    "ve_chain",
    "zero_chain_noise",
]
