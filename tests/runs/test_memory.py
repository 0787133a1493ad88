import dataclasses

import pytest

from algd_jax.config import AgentConfig, Config, LoopConfig
from algd_jax.errors import ConfigError
from algd_jax.runs.memory import available_memory, check_memory
from algd_jax.training.memory import Memory

GIB = 2**30
CONFIG = Config(
    loop=LoopConfig(replay_capacity=123, num_envs=45), agent=AgentConfig(actor_width=67)
)


@pytest.mark.parametrize(
    ("field", "value"), [("replay_capacity", 123), ("num_envs", 45), ("actor_width", 67)]
)
def test_a_run_that_does_not_fit_names_field_and_sizes(field, value):
    parts = {"replay_capacity": GIB, "num_envs": GIB, "actor_width": GIB}
    needs = Memory({**parts, field: 4 * GIB}, allowance=GIB)
    check_memory(needs, 7 * GIB, CONFIG)
    with pytest.raises(ConfigError) as error:
        check_memory(needs, 6 * GIB, CONFIG)
    assert str(error.value) == (
        f"{field}: got {value}, which does not fit in memory: the run needs 7.00 GiB (4.00 GiB of "
        "it for this, 1.00 GiB a fixed allowance), 6.00 GiB is available"
    )


def test_available_memory_prefers_what_the_device_reports():
    @dataclasses.dataclass
    class Device:
        stats: dict | None

        def memory_stats(self):
            return self.stats

    assert available_memory(Device({"bytes_limit": 100, "bytes_in_use": 30})) == 70
    assert available_memory(Device(None)) > 2**20
