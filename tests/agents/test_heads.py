"""What critics' outputs mean, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from algd_jax.agents.heads import categorical_head, mean_head

LOW, HIGH, BINS = -5.0, 15.0, 41
CENTRES = np.linspace(LOW, HIGH, BINS + 1)[:-1] + (HIGH - LOW) / BINS / 2
WIDTH = (HIGH - LOW) / BINS


@pytest.fixture
def head():
    return categorical_head(LOW, HIGH, BINS)


def learnt(head, target):
    """Logits that gradient descent finds for one target."""
    descend = jax.jit(lambda logits: logits - 2.0 * jax.grad(head.loss)(logits, target))
    logits = jnp.zeros(BINS)
    for _ in range(2000):
        logits = descend(logits)
    return logits


def test_the_mean_head_is_squared_error():
    head = mean_head()
    assert head.shape == ()
    assert float(head.value(jnp.float32(3.0))) == 3.0
    assert float(head.loss(jnp.float32(3.0), jnp.float32(1.0))) == 4.0


def test_the_value_is_the_mean_of_the_histogram(head):
    logits = jax.random.normal(jax.random.key(0), (2, 3, BINS))
    shares = np.exp(np.asarray(logits, np.float64))
    shares /= shares.sum(-1, keepdims=True)
    np.testing.assert_allclose(head.value(logits), shares @ CENTRES, rtol=1e-5)


@pytest.mark.parametrize("target", [-3.21, 0.0, 4.4, 11.07])
def test_the_best_logits_are_the_smoothed_target(head, target):
    logits = learnt(head, jnp.float32(target))
    edges = np.linspace(LOW, HIGH, BINS + 1)
    mass = np.diff(stats.norm.cdf(edges, target, 0.75 * WIDTH))
    np.testing.assert_allclose(jax.nn.softmax(logits), mass / mass.sum(), atol=1e-3)
    assert float(head.value(logits)) == pytest.approx(target, abs=0.1 * WIDTH)


@pytest.mark.parametrize(("target", "nearest"), [(-100.0, CENTRES[0]), (100.0, CENTRES[-1])])
def test_targets_beyond_the_range_are_clipped(head, target, nearest):
    assert float(head.value(learnt(head, target))) == pytest.approx(nearest, abs=WIDTH)
    assert np.isfinite(float(head.loss(jnp.zeros(BINS), jnp.float32(target))))


def test_leading_axes_are_kept(head):
    logits, targets = jnp.zeros((4, 5, BINS)), jnp.ones((4, 5))
    assert head.value(logits).shape == head.loss(logits, targets).shape == (4, 5)
