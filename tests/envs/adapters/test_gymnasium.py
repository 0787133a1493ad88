"""The Gymnasium and Safety-Gymnasium forms: their own checkers, and what they must not lose."""

import subprocess
import sys
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from algd_jax.envs import SafetyEnv, registry
from algd_jax.envs.adapters import (
    GymnasiumEnv,
    GymnasiumVectorEnv,
    SafetyGymnasiumEnv,
    SafetyGymnasiumVectorEnv,
    register_gymnasium,
)
from algd_jax.errors import ConfigError
from tests.probes import (
    ActionProbe,
    BrokenProbe,
    PricedProbe,
    ProbeEnv,
    TerminatingProbe,
    UnplacedProbe,
)

FORMS = [GymnasiumEnv, GymnasiumVectorEnv, SafetyGymnasiumEnv, SafetyGymnasiumVectorEnv]
BATCHES = [GymnasiumVectorEnv, SafetyGymnasiumVectorEnv]
HALF = np.array([0.5, 0.0], np.float32)


def check(env: gymnasium.Env) -> None:
    """Gymnasium's checker, with its warnings as errors except for those about taste."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for taste in ("A Box observation", "For Box action", "Not able to test alternative"):
            warnings.filterwarnings("ignore", message=f".*{taste}")
        check_env(env)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name under which `make` builds a probe."""
    monkeypatch.setitem(registry._FACTORIES, "ActionProbe", ActionProbe)
    return "ActionProbe"


@pytest.mark.parametrize("kind", [ActionProbe, TerminatingProbe])
def test_check_env(kind: type[ProbeEnv]) -> None:
    check(GymnasiumEnv(kind()))


def test_check_env_on_a_navigation_task(point_button_2: SafetyEnv) -> None:
    env = GymnasiumEnv(point_button_2)
    check(env)
    env.reset(seed=0)
    info = env.step(env.action_space.sample())[-1]
    assert set(info) == {"cost", "cost_hazards", "cost_buttons", "goal_met"}


def test_made_by_gymnasium(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium.envs.registration, "registry", {})
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    register_gymnasium()
    register_gymnasium()  # Once more is no mistake.
    env = gymnasium.make(f"algd/{known}")
    assert isinstance(env.unwrapped, GymnasiumEnv)
    check(env.unwrapped)
    batch = gymnasium.make_vec(f"algd/{known}", num_envs=3, episode_length=4)
    assert isinstance(batch, GymnasiumVectorEnv)
    assert (batch.num_envs, batch.safety_env.spec.episode_length) == (3, 4)


def test_spaces_and_types() -> None:
    env, batch = GymnasiumEnv(ProbeEnv()), GymnasiumVectorEnv(ProbeEnv(), 3)
    assert env.action_space == gymnasium.spaces.Box(
        np.array([-1.0, -0.5], np.float32), np.array([1.0, 1.5], np.float32)
    )
    assert batch.single_action_space == env.action_space
    assert batch.single_observation_space == env.observation_space
    obs, info = env.reset(seed=0)
    assert (obs.shape, obs.dtype, info) == ((2,), np.float32, {})
    obs, reward, terminated, truncated, info = env.step(HALF)
    assert [type(value) for value in (reward, terminated, truncated)] == [float, bool, bool]
    assert info == {"cost": 0.5, "goal_met": 0.0}
    obs += 1.0  # The caller's own.
    batch.reset(seed=0)
    obs, reward, terminated, truncated, info = batch.step(np.stack([HALF] * 3))
    assert obs in batch.observation_space
    assert [value.dtype for value in (reward, terminated, truncated)] == [np.float32, bool, bool]
    assert [value.shape for value in (reward, terminated, truncated)] == [(3,)] * 3
    np.testing.assert_array_equal(info["cost"], [0.5] * 3)


def test_seeds() -> None:
    for env in (GymnasiumEnv(ProbeEnv()), GymnasiumVectorEnv(ProbeEnv(), 2)):
        first, second = env.reset(seed=1)[0], env.reset()[0]
        assert not np.array_equal(first, second), "unseeded resets continue the stream"
        np.testing.assert_array_equal(env.reset(seed=1)[0], first)
        np.testing.assert_array_equal(env.reset()[0], second)
        assert not np.array_equal(env.reset(seed=2)[0], first)
    rows = GymnasiumVectorEnv(ProbeEnv(), 2).reset(seed=0)[0]
    assert not np.array_equal(rows[0], rows[1])


@pytest.mark.parametrize(("kind", "steps"), [(ProbeEnv, 8), (TerminatingProbe, 3)])
def test_truncation_is_not_termination(kind: type[ProbeEnv], steps: int) -> None:
    env, batch = GymnasiumEnv(kind()), GymnasiumVectorEnv(kind(), 2)
    for _ in range(2):  # The count of steps starts afresh with a reset.
        env.reset(seed=0)
        ends = [env.step(HALF)[2:4] for _ in range(steps)]
        assert ends[-1] == (kind is TerminatingProbe, kind is ProbeEnv)
        assert not np.any(ends[:-1])
    batch.reset(seed=0)
    for _ in range(steps):
        _, _, terminated, truncated, _ = batch.step(np.stack([HALF] * 2))
    np.testing.assert_array_equal(terminated, [kind is TerminatingProbe] * 2)
    np.testing.assert_array_equal(truncated, [kind is ProbeEnv] * 2)


def test_batch_resets_in_the_same_step_as_gymnasium_does() -> None:
    """What `info` holds, and how, is what Gymnasium's own batch of the single form holds."""
    mode = AutoresetMode.SAME_STEP
    theirs = SyncVectorEnv([lambda: GymnasiumEnv(ActionProbe(2))] * 2, autoreset_mode=mode)
    ours = GymnasiumVectorEnv(ActionProbe(2), 2)
    assert ours.metadata["autoreset_mode"] is mode
    actions = np.array([[0.5, 0.0], [0.25, 0.0]], np.float32)
    for batch in (theirs, ours):
        batch.reset(seed=0)
        going_on, ended = batch.step(actions), batch.step(actions)
        assert "final_obs" not in going_on[-1]
        np.testing.assert_array_equal(ended[3], True)
        info = ended[-1]
        for name in ("_final_obs", "_final_info"):
            np.testing.assert_array_equal(info[name], True)
        assert (info["final_obs"].dtype, info["final_obs"].shape) == (object, (2,))
        for obs, final_obs in zip(ended[0], info["final_obs"], strict=True):
            assert final_obs in batch.single_observation_space
            assert not np.array_equal(obs, final_obs)
        np.testing.assert_allclose(info["final_info"]["cost"], [0.5, 0.25])
        np.testing.assert_array_equal(info["final_info"]["_cost"], True)


def test_sums_over_a_batch_lose_no_cost() -> None:
    batch = GymnasiumVectorEnv(ActionProbe(3), 2)
    batch.reset(seed=0)
    actions = np.array([[0.5, 0.0], [0.25, 0.0]], np.float32)
    total = sum(batch.step(actions)[-1]["cost"] for _ in range(6))
    np.testing.assert_allclose(total, [3.0, 1.5])


def test_gymnasium_wrappers_of_batches() -> None:
    env = DictInfoToList(RecordEpisodeStatistics(GymnasiumVectorEnv(ActionProbe(3), 2)))
    env.reset(seed=0)
    for _ in range(3):
        infos = env.step(np.stack([HALF] * 2))[-1]
    assert [info["episode"]["l"] for info in infos] == [3, 3]
    np.testing.assert_allclose([info["episode"]["r"] for info in infos], 1.5)
    np.testing.assert_allclose([info["final_info"]["cost"] for info in infos], 0.5)


def test_safety_gymnasium_returns_six_values() -> None:
    one, several = SafetyGymnasiumEnv(ActionProbe()), SafetyGymnasiumVectorEnv(ActionProbe(1), 2)
    one.reset(seed=0)
    _, reward, cost, terminated, truncated, info = one.step(HALF)
    assert (reward, cost, terminated, truncated) == (0.5, 0.5, False, False)
    assert info["cost_sum"] == info["cost"] == cost
    several.reset(seed=0)
    _, _, cost, _, truncated, info = several.step(np.array([HALF, -HALF]))
    np.testing.assert_array_equal(cost, [0.5, 0.0])
    np.testing.assert_array_equal(truncated, True)
    assert info["final_observation"] is info["final_obs"]
    np.testing.assert_array_equal(info["_final_observation"], True)


@pytest.mark.parametrize("form", FORMS)
def test_bad_actions_are_refused_by_name(form: type) -> None:
    env = form(ProbeEnv())
    env.reset(seed=0)
    good = env.action_space.sample()
    with pytest.raises(ValueError, match=r"ProbeEnv: action has shape \(5,\), expected"):
        env.step(np.zeros(5, np.float32))
    with pytest.raises(ValueError, match="ProbeEnv: action is not an array of numbers"):
        env.step("forwards")
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="ProbeEnv: action is NaN or infinite"):
            env.step(good * 0 + bad)
    env.step(good)  # A refused action has not spoilt anything.


@pytest.mark.parametrize("form", FORMS)
def test_bad_numbers_are_reported_by_name(form: type) -> None:
    env = form(BrokenProbe())
    env.reset(seed=0)
    action = env.action_space.sample() * 0
    for _ in range(4):
        env.step(action)
    with pytest.raises(RuntimeError, match="BrokenProbe: reward is NaN or infinite"):
        env.step(action)
    env = form(PricedProbe())
    env.reset(seed=0)
    env.step(action + 0.5)
    with pytest.raises(RuntimeError, match="PricedProbe: cost is negative, NaN or infinite"):
        env.step(action - 0.5)


@pytest.mark.parametrize("form", FORMS)
def test_flags_of_the_environment_raise(form: type) -> None:
    message = "UnplacedProbe: placement_failed is set: a reset found no free place"
    with pytest.raises(RuntimeError, match=message):
        form(UnplacedProbe()).reset(seed=0)


@pytest.mark.parametrize("form", FORMS)
def test_misuse(form: type, known: str) -> None:
    with pytest.raises(ConfigError, match=r"env: unknown name 'ActionProb'.*'ActionProbe'"):
        form("ActionProb")
    with pytest.raises(ConfigError, match="env: got 3, allowed is a name or a SafetyEnv"):
        form(3)
    with pytest.raises(ConfigError, match="option of ActionProbe: unknown name 'gravity'"):
        form(known, gravity=1.0)
    with pytest.raises(ConfigError, match="ProbeEnv: options go with a name, got episode_length"):
        form(ProbeEnv(), episode_length=3)
    env = form(known, episode_length=3)
    assert env.safety_env.spec.episode_length == 3
    with pytest.raises(gymnasium.error.ResetNeeded, match="ActionProbe: call reset before step"):
        env.step(env.action_space.sample())
    with pytest.raises(ValueError, match="ActionProbe: options: unknown name 'start'"):
        env.reset(options={"start": 1})


@pytest.mark.parametrize("form", BATCHES)
@pytest.mark.parametrize("num_envs", [0, 1.5, "3"])
def test_a_batch_has_at_least_one_environment(form: type, num_envs: Any) -> None:
    with pytest.raises(
        ConfigError, match=f"num_envs: got {num_envs!r}, allowed is an integer >= 1"
    ):
        form(ProbeEnv(), num_envs)


def test_the_environments_do_without_gymnasium() -> None:
    script = "import sys, algd_jax.envs; sys.exit('gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
