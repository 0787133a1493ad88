"""Loads, writes, compares: what ``algd export`` does."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from algd_jax.config import Config
from algd_jax.errors import ConfigError
from algd_jax.runs.build import Stream, build, stream_key
from algd_jax.runs.directory import RunDirectory
from algd_jax.runs.display import Display
from algd_jax.runs.evaluate import Which, choose_checkpoint, load_agent
from algd_jax.runs.export import metadata
from algd_jax.runs.export.checking import (
    OBSERVATIONS,
    TOLERANCE,
    differences,
    latencies,
    original,
)
from algd_jax.runs.export.forms import FORMS
from algd_jax.runs.export.policy import make_policy
from algd_jax.runs.extras import is_installed
from algd_jax.runs.memory import check_evaluation_memory
from algd_jax.runs.new_folder import check_free, fill


def export_run(
    run_dir: Path,
    out: Path,
    which: Which | None = None,
    onnx: bool = False,
    env: str | None = None,
    command: Sequence[str] = (),
    display: Display | None = None,
) -> dict[str, Any]:
    """Write the policy of a run alone, in several forms, each compared with the original before.

    Args:
      run_dir: the run's folder.
      out: new or empty folder.
      which: checkpoint; by default the best feasible one, else the last.
      onnx: whether to write that form too, which needs ONNX and ONNX Runtime.
      env: the run's environment, needed if it is "module:attribute".
      command: the command line, for ``policy.json``.
      display: what the user sees meanwhile; nothing by default.

    Returns:
      What ``policy.json`` holds.

    Raises:
      ConfigError: if this is no run, it has no such checkpoint, the folder is taken, or a form
        differs from the policy; nothing is left behind.
    """
    if onnx:
        _check_onnx()
    directory = RunDirectory(run_dir)
    config = directory.read_config(env)
    which = choose_checkpoint(directory, which)
    check_free(out)
    (display := display or Display()).phase("compiling")
    trainer = build(_in_float32(config))
    check_evaluation_memory(trainer)
    agent, step = load_agent(trainer, directory, which)
    origin = metadata.origin(directory, config, which, step)
    algorithm = trainer.algorithm
    policy = make_policy(
        algorithm.actor,
        algorithm.policy(agent),
        config.hyper,
        trainer.env.spec,
        algorithm.normalizer(agent),
    )
    originals = original(algorithm, agent, config.hyper.as_arrays())
    # Else an accelerator multiplies with fewer digits than a CPU, and the forms differ.
    with jax.default_matmul_precision("highest"):
        files = {name: form.files(policy) for name, form in FORMS.items() if onnx or name != "onnx"}
        forms = {name: FORMS[name].load(content) for name, content in files.items()}
        display.phase("comparing")
        found = differences(forms, policy, originals, stream_key(config.seed, Stream.EXPORT))
        display.stop()  # Nothing else shall run beside what is timed.
        times = latencies(
            {"original": originals[0]} | {name: form.deterministic for name, form in forms.items()},
            policy.obs_size,
        )
    record = {
        "format_version": metadata.FORMAT_VERSION,
        "policy": policy.kind,
        **origin,
        **metadata.layout(policy, trainer.env.spec, config),
        "files": {name: list(content) for name, content in files.items()},
        "check": {"observations": OBSERVATIONS, "tolerance": TOLERANCE, "differences": found},
        "latency": times,
        "export": metadata.circumstances(list(command)),
    }
    contents = {name: content for form in files.values() for name, content in form.items()}
    # Last, so that a folder with it is complete.
    fill(out, contents | {"policy.json": _to_json(record)})
    return record


def _check_onnx() -> None:
    if not all(map(is_installed, ("onnx", "onnxruntime"))):
        raise ConfigError("onnx: needs ONNX, which is missing: pip install 'algd-jax[onnx]'")


def _in_float32(config: Config) -> Config:
    """What a run computed in bfloat16 is exported in float32: NumPy knows no other."""
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, compute="float32"))


def _to_json(record: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(record, indent=2, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise ConfigError("run_dir: its records hold numbers that are not finite") from error
