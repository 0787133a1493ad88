"""ALGD: Augmented-Lagrangian-Guided Diffusion for safe reinforcement learning, in JAX."""

from algd_jax.agents.algorithms import ALGORITHMS, Algorithm, make_algorithm
from algd_jax.agents.update import AgentState, UpdateMetrics
from algd_jax.config import AgentConfig, Config, ConfigError, Hyper, LoopConfig
from algd_jax.types import Transition

__version__ = "0.1.0"

__all__ = [
    "ALGORITHMS",
    "AgentConfig",
    "AgentState",
    "Algorithm",
    "Config",
    "ConfigError",
    "Hyper",
    "LoopConfig",
    "Transition",
    "UpdateMetrics",
    "make_algorithm",
]
