"""Network definitions (flax linen), for one example.

Each network sees an observation together with something that changes faster: many actions are
judged at one state, and many chain steps start from one state. The first layer is linear, so its
observation part is computed once per state (``embed``) and shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

Activation = Callable[[jax.Array], jax.Array]

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
    """

    sizes: tuple[int, ...]
    features: int
    kernel_init: Initializer

    def setup(self):
        self.kernel = self.param("kernel", self.kernel_init, (sum(self.sizes), self.features))
        self.bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))

    def part(self, inputs: jax.Array, index: int) -> jax.Array:
        """Contribution of input number ``index``, without the bias: [..., features]."""
        start = sum(self.sizes[:index])
        return inputs @ self.kernel[start : start + self.sizes[index]]


class ValueNetwork(nn.Module):
    """Q(s, a): an MLP on observation and action with a linear output.

    Attributes:
      obs_size: O.
      action_size: A.
      widths: hidden layer widths.
      activation: hidden activation.
      kernel_init: weight initialiser; biases start at zero.
      value_shape: () for one value, (C,) for C of them.
    """

    obs_size: int
    action_size: int
    widths: tuple[int, ...]
    activation: Activation
    kernel_init: Initializer
    value_shape: tuple[int, ...] = ()

    def setup(self):
        self.first = JointDense((self.obs_size, self.action_size), self.widths[0], self.kernel_init)
        self.hidden = [nn.Dense(width, kernel_init=self.kernel_init) for width in self.widths[1:]]
        self.output = nn.Dense(math.prod(self.value_shape), kernel_init=self.kernel_init)

    def embed(self, obs: jax.Array) -> jax.Array:
        """The observation's share of the first layer: [O] -> [widths[0]]."""
        return self.first.part(obs, 0) + self.first.bias

    def __call__(self, embedding: jax.Array, action: jax.Array) -> jax.Array:
        """Value of an action at an embedded observation: [widths[0]], [A] -> value_shape."""
        hidden = self.activation(embedding + self.first.part(action, 1))
        for layer in self.hidden:
            hidden = self.activation(layer(hidden))
        return self.output(hidden).reshape(self.value_shape)

    def value(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Value of one pair, embedding included: [O], [A] -> value_shape."""
        return self(self.embed(obs), action)


class ScoreNetwork(nn.Module):
    """φ(s, a_k, k): an MLP on observation, squashed action and time embedding, output in R^A.

    Attributes:
      obs_size: O.
      action_size: A.
      chain_steps: K, rows of the time embedding.
      time_features: width of the time embedding.
      widths: hidden layer widths.
      noise_head: add a second output, ε(s, x_k, k), on the same layers (DDPM form).
    """

    obs_size: int
    action_size: int
    chain_steps: int
    time_features: int
    widths: tuple[int, ...]
    noise_head: bool = False

    def setup(self):
        init = nn.initializers.xavier_uniform()
        self.time_embedding = nn.Embed(
            self.chain_steps, self.time_features, embedding_init=nn.initializers.normal(1.0)
        )
        sizes = (self.obs_size, self.action_size, self.time_features)
        self.first = JointDense(sizes, self.widths[0], init)
        self.hidden = [nn.Dense(width, kernel_init=init) for width in self.widths[1:]]
        self.output = nn.Dense(self.action_size, kernel_init=init)
        if self.noise_head:
            self.noise_output = nn.Dense(self.action_size, kernel_init=init)

    def embed(self, obs: jax.Array) -> jax.Array:
        """The first layer without the action's share, for all k: [O] -> [K, widths[0]]."""
        time = self.first.part(self.time_embedding.embedding, 2) + self.first.bias
        return time + self.first.part(obs, 0)

    def __call__(self, embedding: jax.Array, action: jax.Array) -> jax.Array:
        """Score at an embedded (observation, k): [widths[0]], squashed action [A] -> [A]."""
        return self.output(self._trunk(embedding, action))

    def noise(self, embedding: jax.Array, latent: jax.Array) -> jax.Array:
        """Predicted noise at an embedded (observation, k): [widths[0]], latent [A] -> [A]."""
        return self.noise_output(self._trunk(embedding, latent))

    def heads(self, obs: jax.Array, action: jax.Array, k: jax.Array) -> tuple[jax.Array, ...]:
        """Every head there is at one point; to initialise them all."""
        embedding = self.embed(obs)[k]
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
    """

    action_size: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
        """[O] -> (mean [A], log standard deviation [A])."""
        init = nn.initializers.xavier_uniform()
        hidden = obs
        for width in self.widths:
            hidden = nn.relu(nn.Dense(width, kernel_init=init)(hidden))
        mean = nn.Dense(self.action_size, kernel_init=init)(hidden)
        log_std = nn.Dense(self.action_size, kernel_init=init)(hidden)
        return mean, jnp.clip(log_std, *LOG_STD_RANGE)
