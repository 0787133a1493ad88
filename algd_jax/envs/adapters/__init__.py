"""Environments of this package for other people's code, and other people's for this package."""

from algd_jax.envs.adapters.external import ExternalEnv, with_cost
from algd_jax.envs.adapters.gymnasium import (
    GymnasiumEnv,
    GymnasiumVectorEnv,
    SafetyGymnasiumEnv,
    SafetyGymnasiumVectorEnv,
    register_gymnasium,
)

__all__ = [
    "ExternalEnv",
    "GymnasiumEnv",
    "GymnasiumVectorEnv",
    "SafetyGymnasiumEnv",
    "SafetyGymnasiumVectorEnv",
    "register_gymnasium",
    "with_cost",
]
