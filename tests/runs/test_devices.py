"""One run on several devices, from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from tests.runs.support import TINY_FLAGS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "chosen", ["is_the_run_on_one or divide", pytest.param("test", marks=pytest.mark.slow)]
)
def test_on_eight_devices(chosen):
    """In a process of their own: devices must be there from its start."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    pytest_of_file = [sys.executable, "-m", "pytest", "-q", "-n0", "tests/runs/on_eight_devices.py"]
    subprocess.run(
        [*pytest_of_file, "-k", chosen],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=True,
    )


@pytest.mark.parametrize("devices", [0, -1, 1000])
def test_devices_that_are_not_there_are_told(algd, tmp_path, devices):
    folder = tmp_path / "run"
    flags = ["--env=ActionProbe", *TINY_FLAGS, f"--run-dir={folder}", f"--devices={devices}"]
    code, out, err = algd("train", *flags)
    found = len(jax.local_devices())
    allowed = f"an integer in [1, {found}] (those of this host)"
    assert (code, out) == (2, "")
    assert err == f"algd: --devices: got {devices}, allowed is {allowed}\n"
    assert not folder.exists()
