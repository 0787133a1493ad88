"""Exported policies: which of their files are data, and what the others ask for."""

import io
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from jax import export

from algd_jax.runs.export.runner import Policy


@pytest.fixture
def policy(algd, run):
    """Folder of the run's policy in the forms that need nothing else."""
    assert algd("export", "run", "--out", "policy")[0] == 0
    return Path("policy")


class Payload:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("outside/ran", "w")


def crafted(arrays):
    """A policy's arrays of which one is a pickled object."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays, extra=np.array([Payload()], object))
    return file.getvalue()


def claiming(arrays):
    """Arrays of which one claims to have terabytes."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("extra.npy", b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n")
    return file.getvalue()


@pytest.mark.parametrize("craft", [crafted, claiming, lambda _: pickle.dumps(Payload())])
def test_arrays_are_data(policy, craft):
    """Nothing in them is executed, and what they claim of themselves is not believed."""
    with np.load(policy / "policy.npz") as arrays:
        own = dict(arrays)
    assert all(array.dtype.kind in "fiu" for array in own.values())
    (policy / "policy.npz").write_bytes(craft(own))
    with pytest.raises((ValueError, MemoryError, OSError)):
        Policy.load(policy)
    assert not Path("outside/ran").exists()


def test_programs_compute_and_nothing_else(policy):
    """They call no function of the machine that runs them."""
    programs = sorted(policy.glob("*.stablehlo"))
    assert len(programs) == 2
    for program in programs:
        text = export.deserialize(bytearray(program.read_bytes())).mlir_module()
        called = set(re.findall(r"custom_call @(\w+)", text))
        # Of JAX itself: checks of the batch size, and where arrays lie.
        assert called <= {"shape_assertion", "Sharding"}


def test_a_graph_has_standard_operators_and_no_other_file(algd, run):
    onnx = pytest.importorskip("onnx")
    assert algd("export", "run", "--out", "policy", "--onnx")[0] == 0
    graph = onnx.load("policy/policy.onnx", load_external_data=False)
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx"}
    assert all(not tensor.external_data for tensor in graph.graph.initializer)
    assert not graph.functions


def test_an_export_is_opened_by_no_command(algd, policy):
    """Only by the user's own program, so a crafted one reaches no command of this package."""
    for name in ("policy.npz", "policy.stablehlo", "runner.py", "policy.json"):
        (policy / name).write_text("raise SystemExit")
    for command in ("evaluate", "report", "compare", "export", "render", "watch", "reproduce"):
        code, _, err = algd(command, "policy")
        assert code == 2
        assert err.count("\n") == 1


def test_the_runner_needs_no_package(policy):
    """So it can be taken from an installation that is trusted, instead of from the export."""
    found = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER, str(policy.absolute())], capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "False\n"


RUNNER = """
import sys
sys.path.insert(0, sys.argv[1])
from runner import Policy
Policy.load(sys.argv[1])
print("algd_jax" in sys.modules or "jax" in sys.modules)
"""
