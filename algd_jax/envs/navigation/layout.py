"""Where things stand when an episode starts, and where the next goal appears."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from algd_jax.envs.navigation.objects import Area, Places, count, fixed
from algd_jax.envs.navigation.task import Layout, NavigationTask
from algd_jax.errors import ConfigError

__all__ = [
    "Placement",
    "check_room",
    "constant_placement",
    "draw_goal_position",
    "random_placement",
]

_TRIES = 100
"""Draws for each thing, as in the original, before the whole layout starts again."""
_TRIES_AT_ONCE = 25
_RESTARTS = 1000
"""Crowded layouts, such as SafetyPointButton1-v0, succeed about once in fifty times."""
_DENSEST_PACKING = math.pi / math.sqrt(12)  # Share of the plane that equal discs can cover.


class Placement(NamedTuple):
    """The start of an episode.

    Attributes:
      origin: [2] of the robot [m].
      heading: [] of the robot [rad].
      layout: see `Layout`.
      movables: [K, 2] positions [m].
      yaws: [K] of the movable things [rad].
      goal: [1, 2] position [m] at which one was placed, clear of everything; [0, 2] if none was.
      failed: [] boolean; no place was found for everything, and things overlap.
    """

    origin: jax.Array
    heading: jax.Array
    layout: Layout
    movables: jax.Array
    yaws: jax.Array
    goal: jax.Array
    failed: jax.Array


class _Item(NamedTuple):
    """One thing to place.

    Attributes:
      kind: what it is.
      keepout: radius that it keeps free [m].
      area: in which its centre lies.
      place: its fixed position, if it has one.
    """

    kind: str
    keepout: float
    area: Area
    place: tuple[float, float] | None


def constant_placement(task: NavigationTask) -> Placement:
    """The one start of the accelerated Safety-Gym.

    Its layout generator is seeded with zero at every reset, so every episode starts alike.
    """
    if task.start is None:
        raise ConfigError(f"{task.name}: start: a task without one draws every layout")
    items = _items(task)

    def of_kind(kind: str) -> jax.Array:
        return _points([item.place for item in items if item.kind == kind])

    yaws = task.movables.yaws if task.movables else None
    return Placement(
        origin=jnp.asarray(task.start.position, jnp.float32),
        heading=jnp.asarray(task.start.heading, jnp.float32),
        layout=Layout(*(of_kind(kind) for kind in ("hazards", "buttons", "pillars"))),
        movables=of_kind("movables"),
        yaws=jnp.asarray(yaws or (), jnp.float32),
        goal=jnp.zeros((0, 2)),
        failed=jnp.asarray(False),
    )


def random_placement(task: NavigationTask, key: jax.Array) -> Placement:
    """Everything that has no fixed place drawn uniformly, apart by the sum of two keepouts."""
    place_key, heading_key, yaw_key = jax.random.split(key, 3)
    # What is fixed comes first, so that everything drawn keeps clear of it.
    items = sorted(_items(task), key=lambda item: item.place is None)
    positions, failed = _place(items, place_key)

    def of_kind(kind: str) -> jax.Array:
        return positions[np.array([item.kind == kind for item in items])]

    return Placement(
        origin=of_kind("robot")[0],
        heading=jax.random.uniform(heading_key, maxval=2 * jnp.pi),
        layout=Layout(*(of_kind(kind) for kind in ("hazards", "buttons", "pillars"))),
        movables=of_kind("movables"),
        yaws=_yaws(task, yaw_key),
        goal=of_kind("goal"),
        failed=failed,
    )


def draw_goal_position(
    task: NavigationTask, key: jax.Array, origin: jax.Array, layout: Layout, movables: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """A goal [2] clear of everything as it stands now, and whether [] one was found.

    All tries are drawn at once and the first good one is taken, so the time is fixed.
    """
    if task.goal is None:
        raise ConfigError(f"{task.name}: goal: this kind of task needs one")
    positions = {"robot": origin[None], "movables": movables, **vars(layout)}
    items = [item for item in _items(task) if item.kind != "goal"]
    keepouts = jnp.array([item.keepout for item in items])
    kinds = dict.fromkeys(item.kind for item in items)
    others = jnp.concatenate([positions[kind] for kind in kinds])
    area = _shrink(task.goal.area or _extent(task), task.goal.keepout)
    tries = _draw(key, area, _TRIES)
    accepted = jnp.all(_clear(tries, others.T, keepouts + task.goal.keepout), axis=0)
    return tries[:, jnp.argmax(accepted)], jnp.any(accepted)


def check_room(task: NavigationTask) -> None:
    """Raises ConfigError if things cannot fit into the arena."""
    items = _items(task)
    for item in items:
        x_min, y_min, x_max, y_max = item.area
        if item.place is None and (x_min > x_max or y_min > y_max):
            raise ConfigError(
                f"{task.name}: {item.kind}: keepout {item.keepout:g} leaves no place within "
                f"extent {task.extent:g}"
            )
    drawn = [item for item in items if item.place is None]
    covered = sum(math.pi * item.keepout**2 for item in drawn)
    # Every disc lies within the extent: the area of its centre is shrunk by its radius.
    room = _DENSEST_PACKING * (2 * task.extent) ** 2
    if covered > room:
        raise ConfigError(
            f"{task.name}: {len(drawn)} things keep {covered:.2f} m^2 free, "
            f"extent {task.extent:g} has room for {room:.2f} m^2"
        )


def _items(task: NavigationTask) -> list[_Item]:
    """Everything that takes part in the placement, in Safety-Gymnasium's order."""
    items = [_item("robot", task.robot_keepout, task.robot_area or _extent(task), task.robot_place)]
    if task.buttons is not None:
        items += _group(task, "buttons", task.buttons.places, task.buttons.keepout)
    if task.goal is not None:
        area = task.goal.area or _extent(task)
        items.append(_item("goal", task.goal.keepout, area, None))
    if task.hazards is not None:
        items += _group(task, "hazards", task.hazards.places, task.hazards.keepout)
    if task.pillars is not None:
        items += _group(task, "pillars", task.pillars.places, task.pillars.keepout)
    if task.movables is not None:
        items += _group(task, "movables", task.movables.places, task.movables.keepout)
    return items


def _group(task: NavigationTask, kind: str, places: Places, keepout: float) -> list[_Item]:
    where = fixed(places) or [None] * count(places)
    return [_item(kind, keepout, _extent(task), place) for place in where]


def _item(kind: str, keepout: float, area: Area, place: tuple[float, float] | None) -> _Item:
    return _Item(kind, keepout, _shrink(area, keepout), place)


def _extent(task: NavigationTask) -> Area:
    return (-task.extent, -task.extent, task.extent, task.extent)


def _shrink(area: Area, margin: float) -> Area:
    x_min, y_min, x_max, y_max = area
    return (x_min + margin, y_min + margin, x_max - margin, y_max - margin)


def _points(places: list) -> jax.Array:
    return jnp.asarray(places, jnp.float32).reshape(-1, 2)


def _yaws(task: NavigationTask, key: jax.Array) -> jax.Array:
    if task.movables is None:
        return jnp.zeros(0)
    if task.movables.yaws is not None:
        return jnp.asarray(task.movables.yaws, jnp.float32)
    return jax.random.uniform(key, (count(task.movables.places),), maxval=2 * jnp.pi)


def _draw(key: jax.Array, area: Area | jax.Array, number: int) -> jax.Array:
    """Positions [2, number], uniform in an area."""
    low, high = jnp.asarray(area).reshape(2, 2, 1)
    return jax.random.uniform(key, (2, number), minval=low, maxval=high)


def _clear(tries: jax.Array, others: jax.Array, reach: jax.Array) -> jax.Array:
    """Which tries [2, T] keep away by reach [K] from others [2, K]: [K, T] boolean.

    With the tries last, thousands of layouts draw three times as fast on a CPU.
    """
    x, y = tries[:, None] - others[:, :, None]
    return x**2 + y**2 >= reach[:, None] ** 2


class _Search(NamedTuple):
    """A placement in the making.

    Attributes:
      placed: [] how many items have their place.
      tries: [] draws made for the next one.
      restarts: [] times that the whole layout was given up.
      positions: [2, I] x and y of all items, of which the first `placed` count [m].
      key: for further draws.
    """

    placed: jax.Array
    tries: jax.Array
    restarts: jax.Array
    positions: jax.Array
    key: jax.Array


def _place(items: list[_Item], key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Positions [I, 2] of all items, the fixed ones first, and whether [] it failed.

    As in the original one thing after the other is drawn until it is clear of those before; where
    none of the tries is, the whole layout starts again. The number of restarts is bounded.
    """
    keepouts = jnp.array([item.keepout for item in items])
    areas = jnp.array([item.area for item in items])
    fixed_count = sum(item.place is not None for item in items)
    index = jnp.arange(len(items))

    def search(state: _Search) -> _Search:
        i = state.placed
        key, draw_key = jax.random.split(state.key)
        tries = _draw(draw_key, areas[i], _TRIES_AT_ONCE)
        clear_of = _clear(tries, state.positions, keepouts + keepouts[i])
        clear = jnp.all(clear_of | (index >= i)[:, None], axis=0)
        found = jnp.any(clear)
        given_up = ~found & (state.tries + _TRIES_AT_ONCE >= _TRIES)
        chosen = tries[:, jnp.argmax(clear), None]
        return _Search(
            placed=jnp.where(given_up, fixed_count, i + found),
            tries=jnp.where(found | given_up, 0, state.tries + _TRIES_AT_ONCE),
            restarts=state.restarts + given_up,
            positions=jnp.where((index == i) & found, chosen, state.positions),
            key=key,
        )

    def unfinished(state: _Search) -> jax.Array:
        return (state.placed < len(items)) & (state.restarts <= _RESTARTS)

    start = _Search(
        placed=jnp.int32(fixed_count),
        tries=jnp.int32(0),
        restarts=jnp.int32(0),
        positions=jnp.array([item.place or (0.0, 0.0) for item in items]).T,
        key=key,
    )
    end = jax.lax.while_loop(unfinished, search, start)
    return end.positions.T, end.placed < len(items)
