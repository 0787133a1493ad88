"""The pure functions inside a training loop of one's own: Gymnasium's pendulum, one side forbidden.

    python examples/own_loop.py

Nothing of this package is used but an algorithm, which is a record of functions; environment,
replay and loop are other people's. The pendulum is to stand upright, and each step in which it
leans to one side of that, by more than about 0.1 rad, costs 1: it has to swing up on the other side
and stay there. `sac`, which ignores the cost, serves as comparison. Both together take about a
minute on two CPU cores and end, with seed 0, at

    sac: return -192, cost 145.9, λ 0.00
    algd: return -249, cost 1.8, λ 0.71
"""

import gymnasium
import jax
import numpy as np

from algd_jax import AgentConfig, Hyper, Transition, make_algorithm

ENVS, EPISODE_STEPS, UPDATES, BATCH = 8, 200, 4, 128
SHAPES = Transition((3,), (1,), (), (), (3,), (), ())


class Replay:
    """All transitions so far, as NumPy arrays; nothing ends a value here, so two stay zero."""

    def __init__(self, rows: int):
        self.data = jax.tree.map(
            lambda shape: np.zeros((rows, *shape), np.float32),
            SHAPES,
            is_leaf=lambda node: isinstance(node, tuple),
        )
        self.rows = 0

    def add(self, **fields: np.ndarray) -> None:
        added = slice(self.rows, self.rows + ENVS)
        for name, values in fields.items():
            getattr(self.data, name)[added] = values
        self.rows = added.stop

    def sample(self, rng: np.random.Generator) -> Transition:
        """Leaves [UPDATES, BATCH, ...]."""
        rows = rng.integers(self.rows, size=(UPDATES, BATCH))
        return jax.tree.map(lambda leaf: leaf[rows], self.data)


def lean_cost(obs: np.ndarray) -> np.ndarray:
    """Costs [ENVS], from the cosine and the sine of the angle from upright."""
    cosine, sine, _ = obs.T
    return ((cosine > 0) & (sine > 0.1)).astype(np.float32)


def train(name: str, rounds: int, seed: int = 0) -> list[tuple[float, float]]:
    """Mean return and cost of the episodes of each round, drawn from the policy as it learns."""
    sizes = AgentConfig(critic_width=64, actor_width=64, target_period=1)
    agent = make_algorithm(name, 3, (-2.0,), (2.0,), horizon=EPISODE_STEPS, sizes=sizes)
    numbers = Hyper(cost_limit=4.0, actor_lr=1e-3, critic_lr=1e-3, multiplier_lr=1e-3, polyak=0.02)
    hyper = numbers.as_arrays()

    @jax.jit
    def act(state, obs, key):
        keys = jax.random.split(key, ENVS)
        return jax.vmap(agent.act, in_axes=(None, 0, 0, None))(state, obs, keys, hyper)

    @jax.jit
    def update(state, batches, key):
        inputs = batches, jax.random.split(key, UPDATES)
        state, metrics = jax.lax.scan(lambda s, x: agent.update(s, *x, hyper), state, inputs)
        return state, metrics

    init_key, loop_key = jax.random.split(jax.random.key(seed))
    state, rng = jax.jit(agent.init)(init_key, hyper), np.random.default_rng(seed)
    envs = gymnasium.make_vec("Pendulum-v1", num_envs=ENVS, vectorization_mode="sync")
    replay, results = Replay(rounds * EPISODE_STEPS * ENVS), []
    for episode in range(rounds):
        obs, _ = envs.reset(seed=seed + ENVS * episode)
        total_reward = total_cost = 0.0
        for step in range(EPISODE_STEPS):
            key = jax.random.fold_in(loop_key, episode * EPISODE_STEPS + step)
            act_key, update_key = jax.random.split(key)
            action = np.asarray(act(state, obs, act_key))
            next_obs, reward, *_ = envs.step(action)
            cost = lean_cost(next_obs)
            replay.add(obs=obs, action=action, reward=reward, cost=cost, next_obs=next_obs)
            total_reward, total_cost = total_reward + reward.mean(), total_cost + cost.mean()
            obs = next_obs
            if episode > 0:  # The first round only fills the replay.
                state, metrics = update(state, replay.sample(rng), update_key)
        results.append((total_reward, total_cost))
    print(f"{name}: return {total_reward:.0f}, cost {total_cost:.1f}, λ {metrics.lam[-1]:.2f}")
    return results


def main(rounds: int) -> dict[str, list[tuple[float, float]]]:
    return {name: train(name, rounds) for name in ("sac", "algd")}


if __name__ == "__main__":
    main(rounds=15)
