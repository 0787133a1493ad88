"""How do updates per second grow with cores, devices and batch size?

Timed, in a process of its own for each setting: the updates of ``update``, one agent per device,
all in one program. A process sees only so many of the machine's cores, and a CPU is told to be so
many devices. Not timed: compiling.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from typing import NamedTuple

import jax

from algd_jax.training.sharding import member_mesh, member_sharding
from benchmarks import Row
from benchmarks.data import subject
from benchmarks.population import updates
from benchmarks.processes import available_cores, environment
from benchmarks.timing import rates, seconds_of


class Setting(NamedTuple):
    """Of one process.

    Attributes:
      cores: of the host.
      devices: and agents, one on each.
      batch: B.
    """

    cores: int
    devices: int
    batch: int


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      env: decides O, A and the horizon.
      preset: decides the networks.
      batches: B, on all cores and one device.
      batch: B where cores and devices differ.
      updates: per repeat.
      repeats: n.
    """

    env: str = "PointButton1"
    preset: str = "paper"
    batches: tuple[int, ...] = (64, 256, 1024, 4096)
    batch: int = 256
    updates: int = 10
    repeats: int = 5


QUICK = Sizes(preset="quick", batches=(64,), batch=64, repeats=3)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per setting."""
    return [_row(setting, sizes) for setting in settings(sizes)]


def settings(sizes: Sizes) -> list[Setting]:
    """All that can be measured on this machine."""
    cores, on_cpu = available_cores(), jax.default_backend() == "cpu"
    devices = cores if on_cpu else jax.device_count()
    can_hide_cores = on_cpu and hasattr(os, "sched_setaffinity")
    by_batch = [Setting(cores, 1, batch) for batch in sizes.batches]
    by_cores = [Setting(n, 1, sizes.batch) for n in _powers_to(cores) if can_hide_cores]
    by_devices = [Setting(cores, n, sizes.batch) for n in _powers_to(devices)]
    return list(dict.fromkeys(by_batch + by_cores + by_devices))


def work(setting: Setting, sizes: Sizes) -> list[float]:
    """Seconds of each repeat of one setting, in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: setting.cores])
    of = subject(sizes.env, sizes.preset, batch_size=setting.batch)
    along_agents = member_sharding(member_mesh(jax.devices()[: setting.devices]))
    return seconds_of(updates(of, setting.devices, sizes.updates, along_agents), sizes.repeats)


def main() -> None:
    """What a process of its own does: JSON of a setting and of sizes in, of seconds out."""
    setting, sizes = json.loads(sys.argv[1])
    print(json.dumps(work(Setting(*setting), Sizes(**sizes))))


def _row(setting: Setting, sizes: Sizes) -> Row:
    flags = f"--xla_force_host_platform_device_count={setting.devices}"
    process = subprocess.run(
        [
            sys.executable,
            "-c",
            "from benchmarks.scaling import main; main()",
            json.dumps([setting, dataclasses.asdict(sizes)]),
        ],
        env=environment(XLA_FLAGS=f"{os.environ.get('XLA_FLAGS', '')} {flags}"),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = json.loads(process.stdout.splitlines()[-1])  # Libraries print before.
    agent_updates = rates(setting.devices * sizes.updates, seconds)
    return {
        **setting._asdict(),
        "agent_updates_per_second": agent_updates,
        "transitions_per_second": setting.batch * agent_updates.median,
    }


def _powers_to(count: int) -> list[int]:
    """1, 2, 4, … below ``count``, and ``count`` itself."""
    return [*(2**i for i in range(count.bit_length()) if 2**i < count), count]
