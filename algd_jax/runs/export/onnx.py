"""The deterministic policy as an ONNX graph, from the arrays of the NumPy runner.

The graph is ``runner.Policy`` without noise, operation by operation; its chain is unrolled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from algd_jax.runs.export.policy import Arrays

_OPSET = 18
_IR_VERSION = 10
"""That of ONNX 1.16; a runtime refuses a newer one than it knows."""


def model(arrays: Arrays) -> bytes:
    """A graph obs float32 [batch, O] -> action [batch, A]."""
    from onnx import TensorProto, checker, helper

    graph = _Graph(arrays)
    graph.name_result(_gaussian(graph) if "log_std_kernel" in arrays else _chain(graph))
    sizes = {"obs": len(arrays["obs_kernel"]), "action": len(arrays["action_scale"])}
    obs, action = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in sizes.items()
    )
    whole = helper.make_model(
        helper.make_graph(graph.nodes, "policy", [obs], [action], graph.initializers()),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(whole)
    return whole.SerializeToString()


def load(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """A function again, on the host's CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda obs: session.run(["action"], {"obs": obs})[0]


class _Graph:
    """Nodes in the order of computation; a value is known by its name."""

    def __init__(self, arrays: Arrays):
        self.arrays = arrays
        self.nodes: list[Any] = []
        self.constants: Arrays = {}

    def constant(self, value: np.ndarray, name: str = "") -> str:
        """A constant; one with a name is kept once."""
        name = name or f"constant_{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def initializers(self) -> list[Any]:
        from onnx import numpy_helper

        return [numpy_helper.from_array(value, name) for name, value in self.constants.items()]

    def array(self, name: str) -> str:
        return self.constant(self.arrays[name], name)

    def apply(self, operation: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        name = f"{operation}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], **attributes))
        return name

    def name_result(self, value: str) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [value], ["action"]))

    def scaled(self, value: str, factor: np.ndarray) -> str:
        return self.apply("Mul", value, self.constant(factor))

    def product(self, value: str, name: str) -> str:
        return self.apply("MatMul", value, self.array(name))

    def layer(self, value: str, name: str, number: str = "") -> str:
        product = self.product(value, f"{name}_kernel{number}")
        return self.apply("Add", product, self.array(f"{name}_bias{number}"))

    def hidden(self, first: str) -> str:
        value, layer = self.apply("Relu", first), 0
        while f"hidden_kernel_{layer}" in self.arrays:
            value, layer = self.apply("Relu", self.layer(value, "hidden", f"_{layer}")), layer + 1
        return value

    def squash(self, latent: str) -> str:
        scaled = self.apply("Mul", self.apply("Tanh", latent), self.array("action_scale"))
        return self.apply("Add", scaled, self.array("action_centre"))

    def direction(self, vector: str) -> str:
        axes = self.constant(np.asarray([-1], np.int64), "last_axis")
        length = self.apply("ReduceL2", vector, axes, keepdims=1)
        guard = self.constant(np.full((), 1e-8, np.float32), "guard")
        return self.apply("Div", vector, self.apply("Add", length, guard))


def _seen(graph: _Graph) -> str:
    """Observations as the network sees them."""
    if "obs_scale" not in graph.arrays:
        return "obs"
    centred = graph.apply("Sub", "obs", graph.array("obs_centre"))
    scaled = graph.apply("Div", centred, graph.array("obs_scale"))
    bounds = (graph.constant(bound) for bound in graph.arrays["obs_range"])
    return graph.apply("Clip", scaled, *bounds)


def _gaussian(graph: _Graph) -> str:
    first_bias = graph.constant(graph.arrays["first_biases"][0])
    first = graph.apply("Add", graph.product(_seen(graph), "obs_kernel"), first_bias)
    return graph.squash(graph.layer(graph.hidden(first), "output"))


def _chain(graph: _Graph) -> str:
    arrays = graph.arrays
    embedding = graph.product(_seen(graph), "obs_kernel")
    latent = graph.constant(np.zeros((1, len(arrays["action_scale"])), np.float32))
    for k in reversed(range(len(arrays["first_biases"]))):
        first = graph.apply("Add", embedding, graph.constant(arrays["first_biases"][k]))
        latent = _step(graph, first, latent, k)
    return graph.squash(latent)


def _step(graph: _Graph, first: str, latent: str, k: int) -> str:
    arrays = graph.arrays

    def head(seen: str, name: str) -> str:
        joint = graph.apply("Add", first, graph.product(seen, "action_kernel"))
        return graph.layer(graph.hidden(joint), name)

    push = head(graph.squash(latent), "output")
    if "noise_kernel" in arrays:
        push = graph.direction(push)
        noise = graph.scaled(head(latent, "noise"), arrays["noise_weights"][k])
        latent = graph.apply("Add", graph.scaled(latent, arrays["latent_weights"][k]), noise)
    return graph.apply("Add", latent, graph.scaled(push, arrays["score_weights"][k]))
