"""Locomotion tasks with a limit on speed: bodies and tasks, physics, environment."""
