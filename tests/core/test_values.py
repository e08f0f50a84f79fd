"""Value gradients to displacements."""

from __future__ import annotations

import torch

from ultraedit.core.statistics import Moments
from ultraedit.core.values import (
    VALUE_CAP,
    displacement_values,
    published_values,
    scale_gradients,
)


def test_published_values_follow_the_formula() -> None:
    keys, grads = torch.randn(4, 3), torch.randn(4, 2)
    values = published_values(keys, grads, 0.5)
    for k, g, v in zip(keys, grads, values, strict=True):
        torch.testing.assert_close(v, -0.5 * (k @ k) * g)


def test_scaled_gradients_have_unit_mean_square() -> None:
    grads = torch.randn(500, 4) * torch.tensor([1e-6, 1e-3, 1.0, 1e3])
    grads[:, 0] *= 1e9  # keep all four within the floor's reach of each other
    grads[:, 1] *= 1e6
    grads[:, 3] *= 1e-1
    scaled = scale_gradients(grads, Moments.of(grads))
    torch.testing.assert_close(scaled.square().mean(0), torch.ones(4), atol=1e-3, rtol=1e-3)


def test_scaling_does_not_centre() -> None:
    """A direction that all edits share survives."""
    grads = torch.full((10, 2), 3.0)
    scaled = scale_gradients(grads, Moments.of(grads))
    torch.testing.assert_close(scaled, torch.ones(10, 2))


def test_scaling_is_finite_for_one_row_and_for_dead_dimensions() -> None:
    one = torch.tensor([[0.0, 2.0]])
    scaled = scale_gradients(one, Moments.of(one))
    assert torch.isfinite(scaled).all()
    assert scaled[0, 0] == 0
    nothing = torch.zeros(3, 2)
    assert scale_gradients(nothing, Moments.of(nothing)).eq(0).all()


def test_a_typical_row_moves_by_its_share_of_the_output() -> None:
    """Unit mean square in every dimension gives rows of length step * output_norm."""
    grads = torch.ones(5, 16)
    values = displacement_values(grads, 0.1, 7.0)
    torch.testing.assert_close(values.norm(dim=1), torch.full((5,), 0.7))
    assert (values < 0).all()  # downhill


def test_a_row_on_a_cliff_is_capped_in_size_and_kept_in_direction() -> None:
    """One gradient a hundred times the usual one must not move the weights a hundred times as far."""
    grads = torch.randn(6, 16)
    grads[2] *= 100.0
    grads[4] = 0.0
    values = displacement_values(grads, 0.1, 7.0)
    sizes = torch.linalg.vector_norm(values, dim=1)
    torch.testing.assert_close(sizes[2], torch.tensor(VALUE_CAP * 0.1 * 7.0))
    torch.testing.assert_close(values[2] / sizes[2], -grads[2] / torch.linalg.vector_norm(grads[2]))
    usual = torch.tensor([0, 1, 3, 4, 5])
    torch.testing.assert_close(values[usual], -0.1 * 7.0 / 4.0 * grads[usual])
