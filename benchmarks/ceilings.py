"""How fast does this machine multiply float32 matrices through XLA, and move memory?

Timed: products x ← x W in a jitted scan, W [G, C, C] constant and x [G, R, C] carried on, G of them
batched: large squares, and the shapes of an update's hidden layers; and y ← x / 2 + y over arrays
far larger than any cache. Not timed: compiling. Precision is JAX's default, as everywhere in the
project. These are the ceilings that the other benchmarks' shares refer to.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks import Row
from benchmarks.timing import Carried, carried, rates, seconds_of


class Shape(NamedTuple):
    """Of products [G, R, C] x [G, C, C]."""

    batched: int
    rows: int
    columns: int

    @property
    def operations(self) -> int:
        """Of one batched product."""
        return 2 * self.batched * self.rows * self.columns**2


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
      squares: orders of square matrices.
      layers: (G, R, C): an update's critics at one action of each state and at M = 4, its score
        model at one latent of each state, and the larger batch of preset throughput.
      operations: per repeat, at least.
      megabytes: of each of the two arrays that move.
      repeats: n.
    """

    squares: tuple[int, ...] = (512, 1024, 2048, 4096)
    layers: tuple[tuple[int, int, int], ...] = (
        (6, 256, 256),
        (6, 1024, 256),
        (1, 256, 128),
        (6, 1024, 64),
        (6, 2048, 128),
    )
    operations: float = 2e10
    megabytes: int = 512
    repeats: int = 11


QUICK = Sizes(squares=(512,), layers=((6, 256, 256),), operations=1e9, megabytes=64, repeats=3)


def run(sizes: Sizes = Sizes()) -> list[Row]:
    """One row per shape, and one for memory."""
    shapes = [Shape(1, order, order) for order in sizes.squares]
    shapes += [Shape(*layer) for layer in sizes.layers]
    return [_product_row(shape, sizes) for shape in shapes] + [_memory_row(sizes)]


def ceiling() -> Shape:
    """Of the product whose rate is this device's ceiling: large enough to fill it."""
    order = 2048 if jax.default_backend() == "cpu" else 8192
    return Shape(1, order, order)


def matrix_products(shape: Shape, count: int) -> Carried:
    """``count`` products, one after the other."""
    x_key, weight_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x_key, (shape.batched, shape.rows, shape.columns))
    # Of this scale, so that the products neither grow nor vanish.
    weights = jax.random.normal(weight_key, (shape.batched, shape.columns, shape.columns))
    weights = jnp.linalg.qr(weights)[0]

    def products(x, weights):
        return jax.lax.scan(lambda x, _: (x @ weights, None), x, length=count)[0]

    return carried(products, x, weights)


def _product_row(shape: Shape, sizes: Sizes) -> Row:
    count = max(1, round(sizes.operations / shape.operations))
    seconds = seconds_of(matrix_products(shape, count), sizes.repeats)
    text = f"[{shape.batched}, {shape.rows}, {shape.columns}] x [{shape.columns}, {shape.columns}]"
    rate = rates(count * shape.operations / 1e9, seconds)
    return {"what": "matrix product", "shape": text, "unit": "GFLOP/s", "rate": rate}


def _memory_row(sizes: Sizes) -> Row:
    length = sizes.megabytes * 10**6 // 4

    def add(y, x):
        return 0.5 * x + y

    ones = jnp.ones(length)
    seconds = seconds_of(carried(add, jnp.zeros(length), ones), sizes.repeats)
    rate = rates(3 * ones.nbytes / 1e9, seconds)
    text = f"[{length}], 2 read, 1 written"
    return {"what": "memory", "shape": text, "unit": "GB/s", "rate": rate}
