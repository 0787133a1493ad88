"""The policy as serialised StableHLO: a program for any batch on CPU, CUDA and TPU."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import export

from algd_jax.runs.export.policy import ExportedPolicy

PLATFORMS = ("cpu", "cuda", "tpu")
"""What a program is lowered for; none of them has to be there."""


def deterministic_program(policy: ExportedPolicy) -> bytes:
    """float32 [batch, O] -> [batch, A]."""
    return _serialize(policy.deterministic, f"batch, {policy.obs_size}")


def sampled_program(policy: ExportedPolicy) -> bytes:
    """float32 [batch, O], unit-normal noise [batch, D, A] -> [batch, A]."""
    draws, actions = policy.noise_shape
    return _serialize(policy.sampled, f"batch, {policy.obs_size}", f"batch, {draws}, {actions}")


def load(program: bytes) -> jax.stages.Wrapped:
    """A jitted function again."""
    return jax.jit(export.deserialize(bytearray(program)).call)


def _serialize(function, *shapes: str) -> bytes:
    scope = export.SymbolicScope()
    inputs = [
        jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), jnp.float32)
        for shape in shapes
    ]
    return bytes(export.export(jax.jit(function), platforms=PLATFORMS)(*inputs).serialize())
