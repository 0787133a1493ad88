"""Diffusion over actions: schedules, reverse chain, score target. Pure, one example at a time."""
