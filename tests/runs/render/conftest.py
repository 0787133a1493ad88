from tests.runs.support import probes  # noqa: F401
