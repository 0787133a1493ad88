"""Each exported form acts as the policy it was made from, and needs nothing of this package."""

import json
import subprocess
import sys
from typing import NamedTuple

import jax
import numpy as np
import pytest

from algd_jax.agents.algorithms import ALGORITHMS, Algorithm, make_algorithm
from algd_jax.agents.diffusion_actor import make_diffusion_actor
from algd_jax.agents.gaussian_actor import make_gaussian_actor
from algd_jax.agents.state import AgentState
from algd_jax.config import AgentConfig, Hyper
from algd_jax.envs import EnvSpec
from algd_jax.runs.export import stablehlo
from algd_jax.runs.export.checking import differences, original
from algd_jax.runs.export.forms import FORMS
from algd_jax.runs.export.policy import ExportedPolicy, make_policy
from algd_jax.runs.export.runner import Policy

SPEC = EnvSpec("Box", 7, 2, (-1.0, -0.5), (1.0, 1.5), 10, 2.0, 0.1)
HYPER = Hyper(guidance=0.3, sigma_min=0.1)
SIZES = {
    "ve": ("algd", AgentConfig(chain_steps=3, actor_width=8)),
    "ve_one_step": ("algd", AgentConfig(chain_steps=1, actor_width=8, actor_layers=1)),
    "ddpm": ("algd", AgentConfig(diffusion="ddpm", chain_steps=3, actor_width=8)),
    "gaussian": ("cal", AgentConfig(actor_width=8)),
    "recipe": ("algd", AgentConfig(actor_width=8, normalize_obs=True, average_actor=True)),
    "gaussian recipe": ("cal", AgentConfig(actor_width=8, normalize_obs=True)),
}

OBS = np.float32([[0.1 * i - 0.3 * j for i in range(7)] for j in range(3)])


class Subject(NamedTuple):
    algorithm: Algorithm
    agent: AgentState
    policy: ExportedPolicy
    files: dict[str, dict[str, bytes]]


@pytest.fixture(scope="module", params=SIZES)
def subject(request):
    name, sizes = SIZES[request.param]
    box = (SPEC.action_low, SPEC.action_high)
    algorithm = make_algorithm(name, SPEC.observation_size, *box, SPEC.episode_length, sizes)
    agent = algorithm.init(jax.random.key(0), HYPER.as_arrays())
    # Every parameter counts: biases begin at zero.
    agent = agent.replace(actor=jax.tree.map(shifted, agent.actor))
    agent = agent.replace(
        average=jax.tree.map(lambda leaf: 0.9 * leaf, agent.average and agent.actor)
    )
    if algorithm.normalize_obs:
        # Means, and deviations of which the smallest is below its bound.
        seen = np.random.default_rng(0).normal(0.3, [0.001, *np.linspace(0.2, 2, 6)], (50, 7))
        moments = agent.statistics.obs.updated(jax.numpy.asarray(seen, "float32"), 0.5)
        agent = agent.replace(statistics=agent.statistics.replace(obs=moments))
    policy = make_policy(
        algorithm.actor, algorithm.policy(agent), HYPER, SPEC, algorithm.normalizer(agent)
    )
    files = {name: form.files(policy) for name, form in FORMS.items()}
    return Subject(algorithm, agent, policy, files)


def shifted(leaf):
    return leaf + 0.3 * np.random.default_rng(leaf.size).standard_normal(leaf.shape, np.float32)


def test_actions_are_those_of_the_policy(subject):
    forms = {name: form.load(subject.files[name]) for name, form in FORMS.items()}
    originals = original(subject.algorithm, subject.agent, HYPER.as_arrays())
    found = differences(forms, subject.policy, originals, jax.random.key(1))
    assert found.keys() == FORMS.keys()
    assert max(max(values.values()) for values in found.values()) < 1e-5


def test_zero_noise_is_the_deterministic_action_and_noise_is_not(subject):
    policy = Policy(subject.policy.arrays())
    obs = np.random.default_rng(0).standard_normal((5, 7))
    np.testing.assert_array_equal(policy(obs), policy.act(obs, np.zeros((5, policy.draws, 2))))
    first, again = (policy.sample(obs, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = policy.sample(obs, np.random.default_rng(4))
    assert np.abs(other - first).max() > 1e-3
    assert np.abs(policy(obs) - first).max() > 1e-3


def test_one_observation_or_many(subject):
    policy = Policy(subject.policy.arrays())
    obs = np.random.default_rng(0).standard_normal((5, 7))
    one_by_one = np.stack([policy(one) for one in obs])
    np.testing.assert_allclose(one_by_one, policy(obs), atol=1e-6)
    assert policy(obs[:0]).shape == (0, 2)
    for wrong in (obs[:, :6], obs[None], np.float32(1)):
        with pytest.raises(ValueError, match=r"obs: got shape .*, allowed is \(7,\) or \(B, 7\)"):
            policy(wrong)


def test_noise_of_another_shape_is_refused(subject):
    policy = Policy(subject.policy.arrays())
    obs, noise = np.zeros((4, 7)), np.ones((4, policy.draws, 2))
    np.testing.assert_allclose(policy.act(obs[0], noise[0]), policy.act(obs, noise)[0], atol=1e-6)
    for wrong in (noise[:1], noise[..., :1], noise.reshape(2, -1, 2), noise[0]):
        with pytest.raises(ValueError, match="noise: got shape"):
            policy.act(obs, wrong)


def test_actions_stay_inside_the_box(subject):
    policy = Policy(subject.policy.arrays())
    obs = 1e6 * np.random.default_rng(0).standard_normal((50, 7))
    actions = policy.sample(obs, np.random.default_rng(1))
    assert np.isfinite(actions).all()
    assert (actions >= SPEC.action_low).all()
    assert (actions <= SPEC.action_high).all()


def test_every_algorithm_has_a_policy_that_can_be_exported():
    factories = {row.actor for row in ALGORITHMS.values()}
    assert factories == {make_diffusion_actor, make_gaussian_actor}


def test_programs_are_for_all_platforms_and_any_batch(subject):
    exported = jax.export.deserialize(bytearray(subject.files["stablehlo"]["policy.stablehlo"]))
    assert exported.platforms == stablehlo.PLATFORMS
    assert [str(size) for size in exported.in_avals[0].shape] == ["batch", "7"]


# Only what is named, and what it brings along, can be imported; the script then acts.
ISOLATED = """
import importlib.abc, json, sys
foreign = {"algd_jax", "mujoco", "flax", "brax", "optax", "chex", "tests", *%r}

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in foreign:
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
sys.path.insert(0, ".")
obs = [[0.1 * i - 0.3 * j for i in range(7)] for j in range(3)]
%s
imported = foreign & {name.split(".")[0] for name in sys.modules}
print(json.dumps([actions.tolist(), sorted(imported)]))
"""
SCRIPTS = {
    "numpy": (
        ["jax", "jaxlib", "scipy", "onnx", "ml_dtypes"],
        "from runner import Policy\nactions = Policy.load('.')(obs)",
    ),
    "stablehlo": (
        [],
        "import jax, pathlib, numpy\n"
        "program = pathlib.Path('policy.stablehlo').read_bytes()\n"
        "policy = jax.export.deserialize(bytearray(program)).call\n"
        "actions = numpy.asarray(policy(numpy.float32(obs)))",
    ),
}


def act_alone(files, folder, name):
    """Actions [3, A] at ``OBS`` by a script that cannot import what it must not need."""
    for file, content in files[name].items():
        (folder / file).write_bytes(content)
    command = [sys.executable, "-I", "-c", ISOLATED % SCRIPTS[name]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    actions, imported = json.loads(done.stdout)
    assert imported == []
    return np.asarray(actions)


def test_the_runner_needs_numpy_alone(subject, tmp_path):
    deterministic, _ = original(subject.algorithm, subject.agent, HYPER.as_arrays())
    actions = act_alone(subject.files, tmp_path, "numpy")
    np.testing.assert_allclose(actions, deterministic(OBS), atol=1e-5)


@pytest.mark.parametrize("subject", ["ddpm"], indirect=True)
def test_the_programs_need_jax_alone(subject, tmp_path):
    deterministic, _ = original(subject.algorithm, subject.agent, HYPER.as_arrays())
    actions = act_alone(subject.files, tmp_path, "stablehlo")
    np.testing.assert_allclose(actions, deterministic(OBS), atol=1e-5)
