"""ALGD: Augmented-Lagrangian-Guided Diffusion for safe reinforcement learning, in JAX."""

__version__ = "0.1.0"
