"""The losses that baselines train on."""

import torch
from torch.nn.functional import cross_entropy

from ultraedit.methods.training import token_losses, whole_batch
from ultraedit.model.find import find_structure
from ultraedit.model.runner.local import LocalRunner
from ultraedit.model.stack import Stack


def test_token_losses_and_their_gradient_are_cross_entropys(tiny_model):
    model = tiny_model.eval().requires_grad_(False)
    stack = Stack(model, find_structure(model), 1)
    pairs = [([5, 6, 7], [8, 9]), ([3, 4], [2])]
    batch, places, _ = whole_batch(pairs, "cpu")
    trunk = stack.trunk(batch).requires_grad_()
    weight = torch.tensor([0.5, 2.0, 3.0])  # unlike for each token, as values are sought

    with torch.enable_grad():
        ours = token_losses(LocalRunner(stack, ()), batch, places, trunk)
        (slope,) = torch.autograd.grad((ours * weight).sum(), trunk)
        rows, columns = (index[places] for index in batch.answers)
        logits = stack.head(stack.top(batch, trunk)[rows, columns]).float()
        wanted = cross_entropy(logits, batch.labels[rows, columns], reduction="none")
        (wanted_slope,) = torch.autograd.grad((wanted * weight).sum(), trunk)

    torch.testing.assert_close(ours, wanted)
    torch.testing.assert_close(slope, wanted_slope, rtol=1e-4, atol=1e-7)
    assert float(slope.norm()) > 0
