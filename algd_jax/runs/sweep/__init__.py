"""Many runs with one command: planned, packed into programs, stopped, resumed, tabulated."""

from algd_jax.runs.sweep.grid import points
from algd_jax.runs.sweep.plan import Trial, make_trials
from algd_jax.runs.sweep.sweep import sweep

__all__ = ["Trial", "make_trials", "points", "sweep"]
