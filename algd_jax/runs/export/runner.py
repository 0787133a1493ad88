"""Acts as an exported policy, with NumPy alone.

    from runner import Policy

    policy = Policy.load(".")
    action = policy(obs)
    action = policy.sample(obs, numpy.random.default_rng(0))

Observations are [O] or [B, O]; actions [A] or [B, A], inside the action box. ``policy.json`` says
what they mean. A policy with ``obs_scale`` sees them in standard deviations from their mean, within
``obs_range``. The network's first layer is split into the shares of observation, action and chain
index. A diffusion policy makes D steps k = D-1 ... 0 from a noisy latent x to the action's latent:

    x <- latent_weights[k] x + noise_weights[k] noise + score_weights[k] score + spread[k] draw

In the variance-exploding form no noise is predicted and x keeps its weight; in the DDPM form the
score counts by its direction only. A Gaussian policy is one draw, D = 1.
"""

from pathlib import Path

import numpy as np


class Policy:
    """A policy; made by :meth:`load`."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.obs_size = len(arrays["obs_kernel"])
        self.draws, self.action_size = len(arrays["first_biases"]), len(arrays["action_scale"])

    @classmethod
    def load(cls, folder="."):
        """The policy of an exported folder."""
        with np.load(Path(folder) / "policy.npz", allow_pickle=False) as arrays:
            return cls(dict(arrays))

    def __call__(self, obs):
        """The deterministic action."""
        return self._act(obs, lambda shape: np.zeros(shape, np.float32))

    def sample(self, obs, rng):
        """A random action, drawn with a ``numpy.random.Generator``."""
        return self._act(obs, lambda shape: rng.standard_normal(shape, np.float32))

    def act(self, obs, noise):
        """The action for given unit-normal noise [D, A] or [B, D, A]."""
        noise = np.asarray(noise, np.float32)
        allowed = (*np.shape(obs)[:-1], self.draws, self.action_size)
        if noise.shape != allowed:
            raise ValueError(f"noise: got shape {noise.shape}, allowed is {allowed}")
        return self._act(obs, noise.reshape)

    def _act(self, obs, draw):
        obs = np.asarray(obs, np.float32)
        if obs.ndim not in (1, 2) or obs.shape[-1] != self.obs_size:
            allowed = f"({self.obs_size},) or (B, {self.obs_size})"
            raise ValueError(f"obs: got shape {obs.shape}, allowed is {allowed}")
        batch = np.atleast_2d(obs)
        noise = draw((len(batch), self.draws, self.action_size))
        embedding = self._seen(batch) @ self.arrays["obs_kernel"]
        latent = (self._chain if "spread" in self.arrays else self._gaussian)(embedding, noise)
        return self._squash(latent).reshape(*obs.shape[:-1], self.action_size)

    def _seen(self, obs):
        if "obs_scale" not in self.arrays:
            return obs
        scaled = (obs - self.arrays["obs_centre"]) / self.arrays["obs_scale"]
        return np.clip(scaled, *self.arrays["obs_range"])

    def _gaussian(self, embedding, noise):
        hidden = self._hidden(embedding + self.arrays["first_biases"][0])
        log_std = np.clip(self._layer(hidden, "log_std"), *self.arrays["log_std_range"])
        return self._layer(hidden, "output") + np.exp(log_std) * noise[:, 0]

    def _chain(self, embedding, noise):
        arrays = self.arrays
        latent = arrays["start_scale"] * noise[:, 0]
        for k in reversed(range(self.draws)):
            first = embedding + arrays["first_biases"][k]
            seen = self._squash(latent) @ arrays["action_kernel"]
            push = self._layer(self._hidden(first + seen), "output")
            if "noise_kernel" in arrays:
                push /= np.linalg.norm(push, axis=-1, keepdims=True) + np.float32(1e-8)
                hidden = self._hidden(first + latent @ arrays["action_kernel"])
                latent = arrays["latent_weights"][k] * latent
                latent += arrays["noise_weights"][k] * self._layer(hidden, "noise")
            latent = latent + arrays["score_weights"][k] * push
            if k > 0:
                latent += arrays["spread"][k] * noise[:, self.draws - k]
        return latent

    def _hidden(self, first):
        hidden, layer = np.maximum(first, 0), 0
        while f"hidden_kernel_{layer}" in self.arrays:
            hidden, layer = np.maximum(self._layer(hidden, "hidden", f"_{layer}"), 0), layer + 1
        return hidden

    def _layer(self, inputs, name, number=""):
        kernel, bias = self.arrays[f"{name}_kernel{number}"], self.arrays[f"{name}_bias{number}"]
        return inputs @ kernel + bias

    def _squash(self, latent):
        return self.arrays["action_scale"] * np.tanh(latent) + self.arrays["action_centre"]
