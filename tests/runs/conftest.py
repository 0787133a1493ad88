from tests.runs.support import lost_output, probes  # noqa: F401
