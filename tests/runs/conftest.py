from tests.runs.support import probes, refuse  # noqa: F401
