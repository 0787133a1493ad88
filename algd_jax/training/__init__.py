"""Training: joins agents and environments into one jitted epoch."""
