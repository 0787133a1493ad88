"""Environments with costs, on the Brax interface over MJX physics."""

from algd_jax.envs.base import EnvSpec, SafetyEnv, State
from algd_jax.envs.registry import list_envs, make, register
from algd_jax.envs.wrappers import EpisodeWrapper

__all__ = ["EnvSpec", "EpisodeWrapper", "SafetyEnv", "State", "list_envs", "make", "register"]
