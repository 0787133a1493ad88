"""Constrained optimisation: risk, energies, budgets, multipliers. Pure, one example at a time."""
