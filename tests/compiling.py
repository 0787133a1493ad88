"""How the few programs of the suite that run for seconds are compiled."""

OPTIMISED = {"xla_backend_optimization_level": 1}
"""Compiler options; the suite's default is to compile fast and run slowly (``conftest.py``)."""
