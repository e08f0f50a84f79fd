"""Editable maps: one meaning of reading, writing and tapping, whatever the module's layout."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

import tiny
from ultraedit.core.solve import Update
from ultraedit.errors import ModelError
from ultraedit.model.find import find_structure
from ultraedit.model.maps.base import EditableMap, tapped
from ultraedit.model.maps.kinds import KINDS, kind_of, map_shape, take_map

D_IN, D_OUT = 6, 4
ALL = slice(None)


def made(layout: str, dtype: torch.dtype = torch.float32) -> EditableMap:
    module = nn.Linear(D_IN, D_OUT) if layout == "linear" else Conv1D(D_OUT, D_IN)
    return take_map("a.map", module.to(dtype))


layouts = pytest.mark.parametrize("layout", ["linear", "conv1d"])


@layouts
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_what_is_read_maps_inputs_to_outputs(layout: str, dtype: torch.dtype) -> None:
    some = made(layout, dtype)
    assert isinstance(some, EditableMap)
    assert some.shape == (D_IN, D_OUT)
    assert some.device == torch.device("cpu")
    weight = some.read()
    assert weight.shape == some.shape
    assert weight.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    x = torch.randn(3, D_IN)
    found = some.module.to(torch.float32)(x) - some.module.bias
    torch.testing.assert_close(found, x @ weight.float(), atol=1e-5, rtol=1e-5)


@layouts
def test_rows_of_an_update_are_laid_out_as_the_weight_is(layout: str) -> None:
    some = made(layout)
    update = Update(torch.randn(2, D_IN), torch.randn(2, D_OUT))
    before = some.read().clone()
    zero = torch.zeros_like(some.parameter)
    for rows in (slice(0, 3), slice(3, None)):
        original = some.parameter.detach().clone()[rows]
        some.write(rows, original, zero[rows] + some.rows_of(update, rows))
    torch.testing.assert_close(some.read(), before + update.delta())


@layouts
def test_a_write_adds_in_fp32_and_rounds_once(layout: str) -> None:
    some = made(layout, torch.bfloat16)
    original = torch.full_like(some.parameter, 1.0)
    shift = torch.full(original.shape, 2**-8 + 2**-17)  # rounded by itself it would be 2^-8
    some.write(ALL, original, shift)
    assert (some.parameter == 1.0 + 2**-7).all()
    some.write(ALL, original, torch.zeros_like(shift))
    some.add(ALL, shift)
    assert (some.parameter == 1.0).all()  # half a step rounds to the even neighbour


@layouts
def test_a_tap_sees_inputs_and_outputs_and_may_put_another_in_place(layout: str) -> None:
    some = made(layout)
    x = torch.randn(3, D_IN)
    plain = some.module(x)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def see(given: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        seen.append((given, out))
        return out + 1

    with pytest.raises(ZeroDivisionError), tapped([some], lambda _: see):
        assert some.module(x).equal(plain + 1)
        raise ZeroDivisionError
    assert some.module(x).equal(plain)
    assert len(seen) == 1 and seen[0][0] is x and seen[0][1].equal(plain)


def test_every_kind_is_found_in_a_family_that_has_it() -> None:
    kinds = set()
    for family in ("llama", "gpt2", "mixtral"):
        model = tiny.family(family)
        for projection in find_structure(model).projections:
            module = model.get_submodule(projection.name)
            assert map_shape(module) == (projection.d_in, projection.d_out)
            kinds.add(kind_of(module))
    assert kinds == set(KINDS)


@pytest.mark.parametrize("module", [nn.LayerNorm(3), nn.Embedding(3, 4), nn.Conv1d(3, 4, 1)])
def test_what_is_no_linear_map_is_refused_by_name(module: nn.Module) -> None:
    assert map_shape(module) is None
    with pytest.raises(
        ModelError, match=rf"'a\.map' is a {type(module).__name__} without a plain matrix"
    ):
        take_map("a.map", module)
