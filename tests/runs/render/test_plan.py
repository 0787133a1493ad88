import jax
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.runs.render.plan import has_plan, plan_of
from tests.probes import ProbeEnv
from tests.runs.render.scene import SceneProbe, known_episode

STATE = {"time": np.float32(0)}


@pytest.fixture(scope="module")
def plan():
    return plan_of(SceneProbe(), known_episode())


def test_the_robot_runs_along_its_path(plan):
    np.testing.assert_allclose(plan.path, [[0.5 * step, 0] for step in range(7)])
    np.testing.assert_allclose(plan.headings, 0)


def test_things_have_their_outlines(plan):
    assert plan.kinds == ["hazards", "goal", "vases"]  # Neither floor nor robot.
    (hazard,), (vase,) = plan.of_kind("hazards", 0), plan.of_kind("vases", 3)
    np.testing.assert_allclose(np.linalg.norm(hazard.outline - [1, 0], axis=1), 0.3)
    np.testing.assert_allclose(vase.outline.min(axis=0), [-1.1, 0.1])
    np.testing.assert_allclose(vase.outline.max(axis=0), [-0.9, 0.5])
    for shape in plan.shapes[0]:
        np.testing.assert_allclose(shape.outline[0], shape.outline[-1], atol=1e-12)


def test_what_rests_glides_or_jumps_is_told_apart(plan):
    assert [plan.moves(kind) for kind in plan.kinds] == [False, True, True]
    assert [plan.glides(kind) for kind in plan.kinds] == [False, False, True]
    places = [tuple(shape.centre.round(6)) for shape in plan.places("goal")]
    assert places == [(0, 2), (1, 2), (2, 2)]


def test_only_what_happens_in_the_plane_has_a_plan():
    assert has_plan(SceneProbe(), STATE)
    assert not has_plan(SceneProbe(cameras=()), STATE)
    assert not has_plan(ProbeEnv(), STATE)


@pytest.mark.parametrize("name", ["PointButton1", "SafetyCarPush2-v0", "SafetyPointCircle2-v0"])
def test_navigation_tasks_name_what_they_hold(name):
    """Of a state that their rules give, without a compilation."""
    env = envs.make(name)
    with jax.disable_jit():
        state = env.reset(jax.random.key(0)).pipeline_state
    model, _ = env.draw(jax.device_get(state))
    assert has_plan(env, jax.device_get(state))
    kinds = {model.geom(i).name.split(" ")[0] for i in range(model.ngeom)}
    assert (
        kinds
        >= {
            "PointButton1": {"hazards", "buttons", "goal", "gremlins"},
            "SafetyCarPush2-v0": {"hazards", "pillars", "goal", "box"},
            "SafetyPointCircle2-v0": {"circle", "walls"},
        }[name]
    )
