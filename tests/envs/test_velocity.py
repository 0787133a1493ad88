"""The velocity tasks: bodies, physics, recorded steps, rules, episodes."""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from algd_jax import envs
from algd_jax.envs import SafetyEnv, State
from algd_jax.envs.velocity import env as velocity_env
from algd_jax.envs.velocity.physics import Motion, build_model, build_scene
from algd_jax.envs.velocity.suites import BODIES, VELOCITY_TASKS
from tests.envs import velocity_fidelity
from tests.envs.programs import batched_step

PHYSICS = ("mujoco", "mjx")

# nq, nv, nu, total mass [kg], gears, physics step [s]
MODELS = {
    "Hopper": (6, 6, 3, 15.820, [200] * 3, 0.002),
    "HalfCheetah": (9, 9, 6, 14.0, [120, 90, 60, 120, 60, 30], 0.01),
    "Ant": (15, 14, 8, 0.91088, [150] * 8, 0.01),
    "Humanoid": (
        *(24, 23, 17, 42.116),
        [100] * 3 + [100, 100, 300, 200] * 2 + [25] * 6,
        0.003,
    ),
    "Walker2d": (9, 9, 6, 23.677, [100] * 6, 0.002),
    "Swimmer": (5, 5, 2, 106.81, [150] * 2, 0.01),
}
# O, A, highest action, cost limit, control period [s], discount of the cost
SPECS = {
    "SafetyHopperVelocity-v1": (11, 3, 1.0, 25.0, 0.008, 1.0),
    "SafetyHalfCheetahVelocity-v1": (17, 6, 1.0, 25.0, 0.05, 1.0),
    "SafetyAntVelocity-v1": (27, 8, 1.0, 25.0, 0.05, 1.0),
    "SafetyHumanoidVelocity-v1": (376, 17, 0.4, 25.0, 0.015, 1.0),
    "SafetyWalker2dVelocity-v1": (17, 6, 1.0, 25.0, 0.008, 1.0),
    "SafetySwimmerVelocity-v1": (8, 2, 1.0, 25.0, 0.04, 1.0),
    "Hopper": (11, 3, 1.0, 82.748, 0.008, 0.99),
    "HalfCheetah": (17, 6, 1.0, 151.989, 0.05, 0.99),
    "Ant": (27, 8, 1.0, 103.115, 0.05, 0.99),
    "Humanoid": (45, 17, 0.4, 20.140, 0.015, 0.99),
}


@pytest.fixture(scope="module")
def hopper() -> SafetyEnv:
    return envs.make("SafetyHopperVelocity-v1", physics="mjx")


@pytest.mark.parametrize("name", BODIES)
def test_bodies_are_those_of_the_original(name: str) -> None:
    nq, nv, nu, mass, gears, timestep = MODELS[name]
    model = build_model(BODIES[name].asset)
    assert (model.nq, model.nv, model.nu) == (nq, nv, nu)
    np.testing.assert_allclose(model.body_mass.sum(), mass, rtol=5e-5)
    np.testing.assert_array_equal(model.actuator_gear[:, 0], gears)
    assert model.opt.timestep == timestep
    rk4 = model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4
    assert rk4 == (name != "HalfCheetah")
    assert (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT).all()
    assert (model.tendon_stiffness == 0).all()
    assert not model.tendon_limited.any()


def test_details_of_the_older_walker_and_swimmer() -> None:
    walker, swimmer = build_model("walker2d"), build_model("swimmer")
    assert walker.geom("foot_geom").friction[0] == 0.9
    assert walker.geom("foot_left_geom").friction[0] == 1.9
    assert (swimmer.opt.density, swimmer.opt.viscosity) == (4000, 0.1)
    assert not swimmer.geom_contype.any()


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("name", SPECS)
def test_specification(name: str, physics: str) -> None:
    size, actions, bound, limit, period, discount = SPECS[name]
    env = envs.make(name, physics=physics)
    assert dataclasses.asdict(env.spec) == {
        "name": name,
        "observation_size": size,
        "action_size": actions,
        "action_low": pytest.approx((-bound,) * actions),
        "action_high": pytest.approx((bound,) * actions),
        "episode_length": 1000,
        "cost_limit": limit,
        "control_period": pytest.approx(period),
        "cost_names": (),
        "cost_discount": discount,
        "timeout_terminal": discount < 1,
    }
    assert env.dt == pytest.approx(period)
    first = jax.eval_shape(env.reset, jax.random.key(0))
    assert first.obs.shape == (size,)
    wanted = {"cost", "x_velocity"} | (
        {"y_velocity"} if VELOCITY_TASKS[name].body.axes > 1 else set()
    )
    assert set(first.metrics) == wanted
    assert all(leaf.dtype in (jnp.float32, jnp.uint32) for leaf in jax.tree.leaves(first))


RECORDED = [
    *((task, "mujoco") for task in velocity_fidelity.TASKS),
    *((task, "mjx") for task in velocity_fidelity.TASKS[:3]),
    pytest.param(velocity_fidelity.TASKS[3], "mjx", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("task", "physics"), RECORDED)
def test_recorded_steps(task: str, physics: str) -> None:
    result = velocity_fidelity.compare(task, physics)
    assert not result.cost_differs.any()
    assert not result.terminated_differs.any()
    assert result.errors["reward"].max() < 1e-4
    for name, error in result.errors.items():
        assert error.max() < 1e-4 * result.scales[name], name


@pytest.mark.parametrize(("task", "physics"), RECORDED)
def test_first_observations_are_the_recorded_ones(task: str, physics: str) -> None:
    golden, env = velocity_fidelity.load(task), envs.make(task, physics=physics)
    first = golden["t"] == 0

    @jax.jit
    @jax.vmap
    def observe(qpos: jax.Array, qvel: jax.Array) -> jax.Array:
        return env._observe(qpos, qvel, env._simulator.start(qpos, qvel).forces)

    got = observe(*(jnp.asarray(golden[name][first], jnp.float32) for name in ("qpos", "qvel")))
    np.testing.assert_allclose(got, golden["obs"][first], atol=1e-5)


def test_free_flight_is_that_of_mujoco(hopper: SafetyEnv) -> None:
    """Fifty physics steps in the air, joint limits reached, against MuJoCo in double precision."""
    model = build_model("hopper")
    data = mujoco.MjData(model)
    scene = hopper._simulator.scene
    action = jnp.array([0.4, -0.7, 0.2])
    data.qpos[:] = [0.0, 3.0, 0.1, -0.5, -0.8, 0.3]
    data.qvel[:] = [0.5, 0.2, -0.3, 1.0, -1.0, 0.5]
    data.ctrl[:] = action
    qpos, qvel = (jnp.asarray(value, jnp.float32) for value in (data.qpos, data.qvel))
    motion = Motion(qpos, qvel, jnp.zeros(6), (jnp.zeros(1), jnp.zeros(0)))

    @jax.jit
    def fly(motion: Motion) -> Motion:
        def step(motion: Motion, _: None) -> tuple[Motion, Motion]:
            after = scene.step(motion, scene.drive(action))
            return after, after

        return jax.lax.scan(step, motion, length=50)[1]

    after = fly(motion)
    mujoco.mj_step(model, data)
    np.testing.assert_allclose(after.qpos[0], data.qpos, atol=1e-6)
    np.testing.assert_allclose(after.qvel[0], data.qvel, atol=1e-5)
    mujoco.mj_step(model, data, 49)
    np.testing.assert_allclose(after.qpos[-1], data.qpos, atol=1e-5)
    np.testing.assert_allclose(after.qvel[-1], data.qvel, atol=1e-4)


@pytest.mark.parametrize("asset", ["swimmer", "walker2d"])
def test_bodies_without_recordings_accelerate_as_in_mujoco(asset: str) -> None:
    model = build_model(asset)
    scene = build_scene(build_model(asset, 8), lambda model, data: ())
    rng = np.random.default_rng(0)
    qpos = model.qpos0 + rng.uniform(-0.3, 0.3, (32, model.nq))
    qvel = rng.uniform(-1, 1, (32, model.nv))
    action = rng.uniform(-1, 1, (32, model.nu))
    data, wanted = mujoco.MjData(model), []
    for data.qpos[:], data.qvel[:], data.ctrl[:] in zip(qpos, qvel, action, strict=True):
        data.qacc_warmstart[:] = 0
        mujoco.mj_forward(model, data)
        wanted.append(data.qacc.copy())

    @jax.jit
    @jax.vmap
    def accelerate(qpos: jax.Array, qvel: jax.Array, action: jax.Array) -> jax.Array:
        drive = scene.drive(action)
        return scene.forward(qpos, qvel, drive, jnp.zeros(model.nv)).qacc

    got = accelerate(*(jnp.asarray(value, jnp.float32) for value in (qpos, qvel, action)))
    np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("physics", PHYSICS)
@pytest.mark.parametrize("name", BODIES)
def test_reset_noise(name: str, physics: str) -> None:
    body, env = BODIES[name], envs.make(f"Safety{name}Velocity-v1", physics=physics)
    states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(1), 400))
    model = build_model(body.asset)
    rest = model.qpos0
    noise = np.asarray(states.pipeline_state.qpos - rest)
    if len(rest) > model.nv:
        lengths = np.linalg.norm(states.pipeline_state.qpos[:, 3:7], axis=1)
        np.testing.assert_allclose(lengths, 1.0, atol=1e-6)
        noise = np.delete(noise, slice(3, 7), axis=1)
    assert np.abs(noise).max() <= body.noise * 1.001
    np.testing.assert_allclose(noise.std(), body.noise / np.sqrt(3), rtol=0.1)
    deviation = body.velocity_noise or body.noise / np.sqrt(3)
    np.testing.assert_allclose(np.std(states.pipeline_state.qvel), deviation, rtol=0.1)
    assert not states.done.any()
    np.testing.assert_allclose(
        states.obs[:, : len(rest) - body.axes], states.pipeline_state.qpos[:, body.axes :]
    )


JUST = 1e-4


@pytest.mark.parametrize(
    ("name", "index", "inside", "outside"),
    [
        ("Hopper", 1, 0.7 + JUST, 0.7),
        ("Hopper", 2, 0.2 - JUST, 0.2),
        ("Hopper", 2, -0.2 + JUST, -0.2 - JUST),
        ("Hopper", 3, -99.9, -100.0),
        ("Walker2d", 1, 0.8 + JUST, 0.8 - JUST),
        ("Walker2d", 1, 2.0 - JUST, 2.0),
        ("Walker2d", 2, 1.0 - JUST, 1.0),
        ("Ant", 2, 0.2, 0.2 - JUST),
        ("Ant", 2, 1.0, 1.0 + JUST),
        ("Ant", 5, 7.0, float("nan")),
        ("Humanoid", 2, 1.0 + JUST, 1.0),
        ("Humanoid", 2, 2.0 - JUST, 2.0),
    ],
)
def test_health_at_its_borders(name: str, index: int, inside: float, outside: float) -> None:
    healthy = BODIES[name].healthy
    assert healthy is not None
    nq, nv, *_ = MODELS[name]
    height = {"Hopper": 1.25, "Walker2d": 1.25, "Ant": 0.75, "Humanoid": 1.4}[name]
    rest = jnp.zeros(nq).at[1 if nq == nv else 2].set(height)
    assert healthy(rest.at[index].set(inside), jnp.zeros(nv))
    assert not healthy(rest.at[index].set(outside), jnp.zeros(nv))


def test_hopper_velocities_are_bounded_too() -> None:
    healthy = BODIES["Hopper"].healthy
    assert healthy is not None
    rest = jnp.zeros(6).at[1].set(1.25)
    assert healthy(rest, jnp.zeros(6).at[0].set(99.9))
    assert not healthy(rest, jnp.zeros(6).at[0].set(100.0))


@pytest.mark.parametrize(
    ("name", "velocity", "cost"),
    [
        ("SafetyHopperVelocity-v1", [0.7402], 0.0),
        ("SafetyHopperVelocity-v1", [0.7403], 1.0),
        ("SafetyHopperVelocity-v1", [-5.0], 0.0),
        ("SafetyAntVelocity-v1", [-2.0, 2.0], 1.0),
        ("SafetyAntVelocity-v1", [1.8, 1.8], 0.0),
        ("SafetySwimmerVelocity-v1", [0.2, 9.0], 0.0),
        ("SafetySwimmerVelocity-v1", [0.23, 0.0], 1.0),
        ("Hopper", [-3.0], 3.0),
        ("Ant", [3.0, -4.0], 5.0),
    ],
)
def test_cost_of_a_velocity(name: str, velocity: list[float], cost: float) -> None:
    got = velocity_env._cost(VELOCITY_TASKS[name], jnp.asarray(velocity))
    np.testing.assert_allclose(got, cost, rtol=1e-6)
    assert got.dtype == jnp.float32


@pytest.fixture(scope="module", params=PHYSICS)
def hopper_step(request: pytest.FixtureRequest) -> tuple[SafetyEnv, State, jax.Array, State]:
    """As many first states as are recorded, actions beyond the range, and the states after."""
    env, step = batched_step("SafetyHopperVelocity-v1", physics=request.param)
    states = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(2), 160))
    actions = jax.random.uniform(jax.random.key(3), (160, 3), minval=-1.5, maxval=1.5)
    return env, states, actions, step(states, actions)


def test_reward_and_metrics_in_closed_form(
    hopper_step: tuple[SafetyEnv, State, jax.Array, State],
) -> None:
    _, before, action, after = hopper_step
    moved = after.pipeline_state.qpos[:, 0] - before.pipeline_state.qpos[:, 0]
    velocity = moved / 0.008
    np.testing.assert_allclose(after.metrics["x_velocity"], velocity, atol=1e-6)
    wanted = velocity + 1 - 1e-3 * jnp.sum(action**2, axis=1)
    np.testing.assert_allclose(after.reward, wanted, atol=1e-5)
    np.testing.assert_array_equal(after.metrics["cost"], velocity > 0.7402)


def test_motors_clip_but_the_control_cost_does_not(hopper: SafetyEnv) -> None:
    scene = hopper._simulator.scene
    np.testing.assert_array_equal(
        scene.drive(jnp.array([3.0, -3.0, 0.5])), scene.drive(jnp.array([1.0, -1.0, 0.5]))
    )


def test_one_example_and_a_batch_agree(
    hopper_step: tuple[SafetyEnv, State, jax.Array, State],
) -> None:
    env, before, action, after = hopper_step
    one = jax.jit(env.step)(jax.tree.map(lambda leaf: leaf[5], before), action[5])
    np.testing.assert_allclose(one.obs, after.obs[5], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.reward, after.reward[5], atol=1e-4)


def test_wrong_action_shape_is_refused(hopper: SafetyEnv) -> None:
    state = jax.eval_shape(hopper.reset, jax.random.key(0))
    with pytest.raises(ValueError, match=r"action has shape \(2,\), expected \(3,\)"):
        jax.eval_shape(hopper.step, state, jnp.zeros(2))


@pytest.mark.parametrize("physics", PHYSICS)
def test_falls_terminate_and_time_outs_truncate(physics: str) -> None:
    wrapped = envs.EpisodeWrapper(envs.make("SafetyHopperVelocity-v1", physics=physics))
    step = jax.jit(wrapped.step)
    state = jax.jit(wrapped.reset)(jax.random.split(jax.random.key(0), 3))
    qpos, qvel = state.pipeline_state.qpos, state.pipeline_state.qvel
    fallen = jax.jit(jax.vmap(wrapped.env._simulator.start))(qpos.at[0, 1].set(0.5), qvel).state
    state = state.replace(
        pipeline_state=fallen,
        info={**state.info, "steps": state.info["steps"].at[1].set(999.0)},
    )
    state = step(state, jnp.zeros((3, 3)))
    np.testing.assert_array_equal(state.done, [1, 1, 0])
    np.testing.assert_array_equal(state.info["truncation"], [0, 1, 0])
    assert (state.pipeline_state.qpos[:, 1] > 1.2).all()
    # The velocity of the first step is that of the new episode, not of the jump to its start.
    state = step(state, jnp.zeros((3, 3)))
    assert float(jnp.abs(state.metrics["x_velocity"]).max()) < 1.0
    np.testing.assert_array_equal(state.done, 0)
