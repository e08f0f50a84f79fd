"""From value gradients to the displacements that the solve writes.

Source: UltraEdit (arXiv 2505.14679), v_i = -eta ||h^_i||^2 g^_i; `displacement_values` is the same with the
factors that depend on width taken out, so that one setting suits a 135M and a 27B model.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.statistics import Moments

EPSILON = 1e-12

VALUE_CAP = 3.0
"""Typical displacements that one row may ask for.

A gradient is a slope at a point.  Where an answer token stands on a cliff (a block that switches an outlier on or
off) it is a hundred times the usual one, says nothing of how far to go, and one such row has ruined a model whose
other rows were all near zero (docs/lab/value-cap.md).
"""


def published_values(
    keys_hat: Float[Tensor, "n d_in"], grads_hat: Float[Tensor, "n d_out"], eta: float
) -> Float[Tensor, "n d_out"]:
    """v_i = -eta ||h^_i||^2 g^_i with both sides already normalised."""
    return -eta * keys_hat.square().sum(-1, keepdim=True) * grads_hat


def scale_gradients(grads: Float[Tensor, "n d_out"], moments: Moments) -> Float[Tensor, "n d_out"]:
    """Each dimension over its running root mean square; not centred.

    The mean gradient is the direction that all edits share: taking it away (as published) takes away learning.
    The uncentred size is also safe from the first row on, where a standard deviation is 0 or noise.
    """
    rms = moments.mean_square().sqrt()
    floor = float(rms.mean()) * 1e-3 + EPSILON
    return grads / rms.clamp(min=floor).to(grads.dtype)


def displacement_values(
    grads_hat: Float[Tensor, "n d_out"], step: float, output_norm: float
) -> Float[Tensor, "n d_out"]:
    """v = -step * output_norm * g^ / sqrt(d_out): a typical row moves by `step` times the module's own output.

    `output_norm` is the root mean square row norm of the module's outputs, in the model's units.  No row moves by
    more than VALUE_CAP times that.
    """
    scale = step * output_norm / grads_hat.shape[-1] ** 0.5
    sizes = torch.linalg.vector_norm(grads_hat, dim=-1, keepdim=True) / grads_hat.shape[-1] ** 0.5
    return -scale * grads_hat * (VALUE_CAP / sizes).clamp(max=1.0)
