"""The forms a policy is exported in: the files of each, and how it is called from them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from algd_jax.runs.export import onnx, runner, stablehlo
from algd_jax.runs.export.policy import ExportedPolicy


class Calls(NamedTuple):
    """A form, loaded from its files: float32 arrays in, actions [B, A] out.

    Attributes:
      deterministic: observations [B, O] -> actions.
      sampled: observations, noise [B, D, A] -> actions; None if the form has no such program.
    """

    deterministic: Callable[[np.ndarray], np.ndarray]
    sampled: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None


class Form(NamedTuple):
    """One way of taking a policy along.

    Attributes:
      files: policy -> contents by file name.
      load: those contents -> what can be called.
    """

    files: Callable[[ExportedPolicy], dict[str, bytes]]
    load: Callable[[Mapping[str, bytes]], Calls]


def _stablehlo_files(policy: ExportedPolicy) -> dict[str, bytes]:
    return {
        "policy.stablehlo": stablehlo.deterministic_program(policy),
        "policy_sampled.stablehlo": stablehlo.sampled_program(policy),
    }


def _load_stablehlo(files: Mapping[str, bytes]) -> Calls:
    return Calls(
        stablehlo.load(files["policy.stablehlo"]), stablehlo.load(files["policy_sampled.stablehlo"])
    )


def _numpy_files(policy: ExportedPolicy) -> dict[str, bytes]:
    arrays = io.BytesIO()
    np.savez(arrays, allow_pickle=False, **policy.arrays())
    return {
        "policy.npz": arrays.getvalue(),
        "runner.py": Path(runner.__file__).read_bytes(),
    }


def _load_numpy(files: Mapping[str, bytes]) -> Calls:
    with np.load(io.BytesIO(files["policy.npz"]), allow_pickle=False) as arrays:
        policy = runner.Policy(dict(arrays))
    return Calls(policy, policy.act)


def _onnx_files(policy: ExportedPolicy) -> dict[str, bytes]:
    return {"policy.onnx": onnx.model(policy.arrays())}


def _load_onnx(files: Mapping[str, bytes]) -> Calls:
    return Calls(onnx.load(files["policy.onnx"]))


FORMS: dict[str, Form] = {
    "stablehlo": Form(_stablehlo_files, _load_stablehlo),
    "numpy": Form(_numpy_files, _load_numpy),
    "onnx": Form(_onnx_files, _load_onnx),
}
