"""Network definitions (flax linen), for one example or any leading axes.

Each network sees an observation together with something that changes faster: many actions are
judged at one state, and many chain steps start from one state. The first layer is linear, so its
observation part is computed once per state (``embed``) and shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.nn.initializers import Initializer

Activation = Callable[[jax.Array], jax.Array]

COMPUTE_TYPES: dict[str, Any] = {"float32": None, "bfloat16": jnp.bfloat16}
"""In what networks compute, by name; parameters and results are float32 all the same.

None leaves the type to inputs and parameters, so that float64 parameters compute in float64.
"""

_FEW = 4

LOG_STD_RANGE = (-20.0, 2.0)
"""Bounds of a Gaussian policy's log standard deviation, as in soft actor-critic."""


def truncated_fan_in_normal() -> Initializer:
    """Normal of standard deviation 1 / (2 sqrt(fan_in)), truncated at two standard deviations."""

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        del out_sharding
        stddev = 0.5 * shape[-2] ** -0.5
        return stddev * jax.random.truncated_normal(key, -2.0, 2.0, shape, dtype)

    return init


class JointDense(nn.Module):
    """A dense layer on the concatenation of several inputs, applied to one input at a time.

    ``sum(layer.part(x_i, i)) + layer.bias`` equals the dense layer on ``concatenate(x)``.

    Attributes:
      sizes: width of each input.
      features: width of the output.
      kernel_init: sees the whole kernel, so fan-in counts all inputs.
      dtype: of the computation, see ``COMPUTE_TYPES``.
    """

    sizes: tuple[int, ...]
    features: int
    kernel_init: Initializer
    dtype: Any = None

    def setup(self):
        kernel = self.param("kernel", self.kernel_init, (sum(self.sizes), self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        self.kernel, self.bias = promote_dtype(kernel, bias, dtype=self.dtype)

    def part(self, inputs: jax.Array, index: int) -> jax.Array:
        """Contribution of input number ``index``, without the bias: [..., features]."""
        start = sum(self.sizes[:index])
        kernel = self.kernel[start : start + self.sizes[index]]
        (inputs,) = promote_dtype(inputs, dtype=self.dtype)
        if len(kernel) <= _FEW:
            # Fuses with what follows; a product of so few terms would not repay its own pass.
            return sum(inputs[..., i, None] * row for i, row in enumerate(kernel))
        return inputs @ kernel


class ValueNetwork(nn.Module):
    """Q(s, a): an MLP on observation and action with a linear output.

    Attributes:
      obs_size: O.
      action_size: A.
      widths: hidden layer widths.
      activation: hidden activation.
      kernel_init: weight initialiser; biases start at zero.
      value_shape: () for one value, (C,) for C of them.
      dtype: of the computation, see ``COMPUTE_TYPES``.
      normalize: whether hidden layers are normalised before their activation.
    """

    obs_size: int
    action_size: int
    widths: tuple[int, ...]
    activation: Activation
    kernel_init: Initializer
    value_shape: tuple[int, ...] = ()
    dtype: Any = None
    normalize: bool = False

    def setup(self):
        def dense(width):
            return nn.Dense(width, kernel_init=self.kernel_init, dtype=self.dtype)

        sizes = (self.obs_size, self.action_size)
        self.first = JointDense(sizes, self.widths[0], self.kernel_init, self.dtype)
        self.hidden = [dense(width) for width in self.widths[1:]]
        self.output = dense(math.prod(self.value_shape))

    def embed(self, obs: jax.Array) -> jax.Array:
        """The observation's share of the first layer: [..., O] -> [..., widths[0]]."""
        return self.first.part(obs, 0) + self.first.bias

    def __call__(self, embedding: jax.Array, action: jax.Array) -> jax.Array:
        """Value of an action at an embedded observation.

        Args:
          embedding: [..., widths[0]].
          action: [..., A]; may have more leading axes: several actions at each observation.

        Returns:
          The action's leading axes, then ``value_shape``.
        """
        activate = self._normalized if self.normalize else self.activation
        hidden = activate(embedding + self.first.part(action, 1))
        for layer in self.hidden:
            hidden = activate(layer(hidden))
        values = _result(self.output(hidden), self.dtype)
        return values.reshape(*action.shape[:-1], *self.value_shape)

    def value(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Value of one pair, embedding included: [O], [A] -> value_shape."""
        return self(self.embed(obs), action)

    def _normalized(self, hidden: jax.Array) -> jax.Array:
        """Layer normalisation without learnt scale (Ba et al. 2016, arXiv 1607.06450)."""
        return self.activation(jax.nn.standardize(hidden, axis=-1, epsilon=1e-5))


class ScoreNetwork(nn.Module):
    """φ(s, a_k, k): an MLP on observation, squashed action and time embedding, output in R^A.

    Attributes:
      obs_size: O.
      action_size: A.
      chain_steps: K, rows of the time embedding.
      time_features: width of the time embedding.
      widths: hidden layer widths.
      noise_head: add a second output, ε(s, x_k, k), on the same layers (DDPM form).
      dtype: of the computation, see ``COMPUTE_TYPES``.
    """

    obs_size: int
    action_size: int
    chain_steps: int
    time_features: int
    widths: tuple[int, ...]
    noise_head: bool = False
    dtype: Any = None

    def setup(self):
        init = nn.initializers.xavier_uniform()

        def dense(width):
            return nn.Dense(width, kernel_init=init, dtype=self.dtype)

        self.time_embedding = nn.Embed(
            self.chain_steps, self.time_features, embedding_init=nn.initializers.normal(1.0)
        )
        sizes = (self.obs_size, self.action_size, self.time_features)
        self.first = JointDense(sizes, self.widths[0], init, self.dtype)
        self.hidden = [dense(width) for width in self.widths[1:]]
        self.output = dense(self.action_size)
        if self.noise_head:
            self.noise_output = dense(self.action_size)

    def embed(self, obs: jax.Array) -> jax.Array:
        """The observation's share of the first layer: [O] -> [widths[0]]."""
        return self.first.part(obs, 0)

    def embed_times(self) -> jax.Array:
        """The chain index's share of the first layer, bias included, for all k: [K, widths[0]]."""
        return self.first.part(self.time_embedding.embedding, 2) + self.first.bias

    def __call__(self, embedding: jax.Array, action: jax.Array) -> jax.Array:
        """Score at an embedded (observation, k): [widths[0]], squashed action [A] -> [A]."""
        return _result(self.output(self._trunk(embedding, action)), self.dtype)

    def noise(self, embedding: jax.Array, latent: jax.Array) -> jax.Array:
        """Predicted noise at an embedded (observation, k): [widths[0]], latent [A] -> [A]."""
        return _result(self.noise_output(self._trunk(embedding, latent)), self.dtype)

    def heads(self, obs: jax.Array, action: jax.Array, k: jax.Array) -> tuple[jax.Array, ...]:
        """Every head there is at one point; to initialise them all."""
        embedding = self.embed(obs) + self.embed_times()[k]
        score = self(embedding, action)
        return (score, self.noise(embedding, action)) if self.noise_head else (score,)

    def _trunk(self, embedding: jax.Array, inputs: jax.Array) -> jax.Array:
        hidden = nn.relu(embedding + self.first.part(inputs, 1))
        for layer in self.hidden:
            hidden = nn.relu(layer(hidden))
        return hidden


class GaussianNetwork(nn.Module):
    """Mean and log standard deviation of a Gaussian over latents: an MLP on the observation.

    Attributes:
      action_size: A.
      widths: hidden layer widths.
      dtype: of the computation, see ``COMPUTE_TYPES``.
    """

    action_size: int
    widths: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[O] -> (mean [A], log standard deviation [A])."""

        def dense(width):
            return nn.Dense(width, kernel_init=nn.initializers.xavier_uniform(), dtype=self.dtype)

        hidden = obs
        for width in self.widths:
            hidden = nn.relu(dense(width)(hidden))
        mean, log_std = (_result(dense(self.action_size)(hidden), self.dtype) for _ in range(2))
        return mean, jnp.clip(log_std, *LOG_STD_RANGE)


def _result(output: jax.Array, dtype: Any) -> jax.Array:
    """What a network computed in ``dtype`` gives to the rest of the program."""
    return output if dtype is None else output.astype(jnp.float32)
