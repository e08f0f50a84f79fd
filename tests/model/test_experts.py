"""The joint map of a layer's experts, family by family: what is found, its keys, its layout, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import tiny
import twin_experts
from ultraedit.core.solve import DualSolver, Update
from ultraedit.errors import ModelError
from ultraedit.model.find import find_structure
from ultraedit.model.maps.base import EditableMap, Keys, tapped
from ultraedit.model.maps.experts import ExpertsMap, RoutedKeys
from ultraedit.model.maps.kinds import map_shape, take_map
from ultraedit.model.probe import check_experts
from ultraedit.model.select import select_projections
from ultraedit.model.stack import Stack
from ultraedit.model.weights import EditedWeight, edited_weights

families = pytest.mark.parametrize("family", tiny.EXPERT_FAMILIES)

SHARED = {
    "qwen2_moe": ("mlp.shared_expert.down_proj", 40),
    "deepseek_v3": ("mlp.shared_experts.down_proj", 24),
}
COUNT = {"deepseek_v3": 6}


def exact(family: str) -> PreTrainedModel:
    """In float64, by the family's own loop: grouped matrix products know no float64."""
    model = tiny.family(family, torch.float64)
    model.set_experts_implementation("eager")
    return model.requires_grad_(False)


def experts_of(model: PreTrainedModel) -> list[EditableMap]:
    return [
        take_map(name, module) for name, module in model.named_modules() if ExpertsMap.fits(module)
    ]


def seen_by(model: PreTrainedModel, some: EditableMap) -> tuple[RoutedKeys, Tensor]:
    found: list[tuple[Keys, Tensor]] = []
    with torch.no_grad(), tapped([some], lambda _: lambda keys, out: found.append((keys, out))):  # type: ignore[func-returns-value]
        model(input_ids=torch.arange(3, 21).reshape(2, 9), use_cache=False)
    ((keys, out),) = found
    assert isinstance(keys, RoutedKeys)
    return keys, out


@families
def test_a_block_gives_its_experts_as_down_and_the_mlp_beside_them_as_shared(family: str) -> None:
    model = tiny.family(family)
    structure = find_structure(model)
    path = "block_sparse_moe" if family == "granitemoe" else "mlp"
    name, width = SHARED.get(family, ("", 0))
    for block in range(4):
        found = {
            p.role: (p.name.removeprefix(f"model.layers.{block}."), p.d_in, p.d_out)
            for p in structure.projections
            if p.block == block and p.role != "up"
        }
        if family == "deepseek_v3" and block < 2:
            assert found == {"down": ("mlp.down_proj", 64, 32)}
            continue
        expected = {"down": (f"{path}.experts", COUNT.get(family, 5) * 24, 32)}
        assert found == expected | ({"shared": (name, width, 32)} if name else {})
    (chosen,) = select_projections(model, structure, "auto")
    assert chosen.role == "down" and chosen.name.endswith(".experts")


@families
def test_joint_keys_times_the_matrix_are_the_layers_output(family: str) -> None:
    model = exact(family)
    for some in experts_of(model)[::3]:
        assert isinstance(some, EditableMap)
        keys, out = seen_by(model, some)
        tokens = torch.arange(len(out))
        made = keys[tokens] @ some.read() + keys.biases(tokens)
        assert made.dtype == torch.float64
        torch.testing.assert_close(made, out, atol=1e-12, rtol=0)
        literal_out, literal_keys = twin_experts.run(
            some.module, keys.hidden, keys.index, keys.gates
        )
        torch.testing.assert_close(literal_keys, keys[tokens], atol=1e-12, rtol=0)
        torch.testing.assert_close(literal_out, out, atol=1e-12, rtol=0)
        assert (keys[tokens] == 0).double().mean() > 0.5  # the blocks of the other experts
        few = torch.tensor([7, 2, 7])
        torch.testing.assert_close(keys[few], keys[tokens][few], atol=1e-12, rtol=0)


@families
def test_one_system_moves_the_layers_output_as_asked_exactly_over_all_experts(family: str) -> None:
    """And moves that of every other token by what its joint key has in common with those."""
    model = exact(family)
    some = experts_of(model)[0]
    keys, before = seen_by(model, some)
    few, others = torch.arange(0, 12, 3), torch.arange(len(before))
    H = keys[few]
    torch.manual_seed(0)
    V = torch.randn(len(few), some.shape[1], dtype=torch.float64)
    update = DualSolver(H, 1e-12).solve(V)
    original = some.matrix.clone()
    touched = []
    for low in range(0, len(original), 7):  # chunks that do not end with an expert
        rows = slice(low, min(low + 7, len(original)))
        some.write(rows, original[rows], some.rows_of(update, rows))
    for e, block in enumerate(some.parameter.detach() - original.view_as(some.parameter)):
        touched.append(bool(block.any()))
        routed = int((keys.index[few] == e).any(1).sum())
        assert int(torch.linalg.matrix_rank(block, rtol=1e-9)) <= routed
    assert sum(touched) > 2
    hidden, index, gates = keys.hidden, keys.index, keys.gates
    with torch.no_grad():
        after = some.module(hidden, index, gates)
    torch.testing.assert_close((after - before)[few], V, atol=1e-9, rtol=0)
    torch.testing.assert_close(after - before, keys[others] @ update.delta(), atol=1e-9, rtol=0)


@families
def test_the_layout_is_the_experts_rows_one_after_the_other(family: str) -> None:
    some = experts_of(tiny.family(family))[0]
    d_in, d_out = some.shape
    assert some.experts == len(some.parameter)
    assert some.matrix.shape == (d_in, d_out) if some.transposed else (some.experts * d_out, 24)
    assert some.matrix.data_ptr() == some.parameter.data_ptr() == some.live_matrix.data_ptr()
    update = Update(torch.randn(3, d_in), torch.randn(3, d_out))
    before, original = some.read().clone(), some.matrix.clone()
    for rows in (slice(0, 50), slice(50, None)):
        some.write(rows, original[rows], some.rows_of(update, rows))
    torch.testing.assert_close(some.read(), before + update.delta())


@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
def test_a_tap_works_with_every_function_that_runs_experts_and_leaves_it(
    implementation: str,
) -> None:
    model = tiny.family("qwen2_moe").requires_grad_(False)
    model.set_experts_implementation(implementation)
    some = experts_of(model)[0]
    heard: list[int] = []
    handle = some.module.register_forward_hook(lambda *_: heard.append(1))
    keys, out = seen_by(model, some)
    tokens = torch.arange(len(out))
    torch.testing.assert_close(keys[tokens] @ some.read(), out, atol=1e-5, rtol=1e-4)
    assert model.config._experts_implementation == implementation
    assert len(some.module._forward_hooks) == len(heard) == 1  # another's, who heard it too
    handle.remove()


def test_a_token_that_goes_to_one_expert_twice_and_one_that_goes_to_none() -> None:
    module = experts_of(tiny.family("mixtral"))[0].module
    hidden, gates = torch.randn(2, 32), torch.rand(2, 2)
    index = torch.tensor(
        [[3, 3], [1, 5]]
    )  # 5 stands for "none" where experts lie on several machines
    keys = RoutedKeys(module, hidden, index, gates)[torch.arange(2)].view(2, 5, 24)
    inner = twin_experts.inner(module, 3, hidden[0])
    torch.testing.assert_close(keys[0, 3], (gates[0, 0] + gates[0, 1]) * inner)
    assert [e for e in range(5) if keys[1, e].any()] == [1]


def _experts(**changes: Any) -> nn.Module:
    module = experts_of(tiny.family("mixtral"))[0].module
    for key, value in changes.items():
        setattr(module, key, value)
    return module


@pytest.mark.parametrize(
    "module",
    [
        _experts(has_post_expert_norm=True),  # no longer linear
        _experts(gate_up_proj=nn.Parameter(torch.zeros(4, 4))),
        nn.ParameterDict({"down_proj": torch.zeros(2, 3, 4), "gate_up_proj": torch.zeros(2, 8, 3)}),
    ],
)
def test_what_is_no_linear_map_of_experts_is_none(module: nn.Module) -> None:
    assert map_shape(module) is None


def test_experts_whose_weight_has_gaps_are_refused_by_name() -> None:
    gaps = nn.Parameter(torch.zeros(5, 24, 32).transpose(1, 2), requires_grad=False)
    with pytest.raises(
        ModelError, match=r"'a\.map' holds its experts' weights as a view with gaps"
    ):
        take_map("a.map", _experts(down_proj=gaps))


def test_experts_in_fp8_are_refused_by_name() -> None:
    narrow = nn.Parameter(torch.zeros(5, 32, 24).to(torch.float8_e4m3fn), requires_grad=False)
    with pytest.raises(ModelError, match=r"'a\.map' holds torch.float8_e4m3fn weights"):
        take_map("a.map", _experts(down_proj=narrow))


def test_experts_that_are_computed_otherwise_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.family("mixtral").requires_grad_(False)
    structure = find_structure(model)
    weights = edited_weights(model, select_projections(model, structure, "auto"))
    stack = Stack(model, structure, 2)
    check_experts(stack, weights)
    own = type(weights[0].module).forward
    monkeypatch.setattr(
        type(weights[0].module), "forward", lambda self, *given: own(self, *given).tanh()
    )
    with pytest.raises(ModelError, match=r"'model\.layers\.2\.mlp\.experts' does not give the sum"):
        check_experts(stack, weights)


def test_tied_experts_are_refused_by_name() -> None:
    model = tiny.family("mixtral")
    a, b = (model.get_submodule(f"model.layers.{i}.mlp.experts") for i in (1, 2))
    b.down_proj = a.down_proj
    structure = find_structure(model)
    with pytest.raises(ModelError, match=r"layers\.2\.mlp\.experts' shares its weight with"):
        edited_weights(model, [p for p in structure.projections if p.block == 2])


def test_an_edited_weight_of_experts_is_written_and_taken_back_to_the_bit() -> None:
    for family in ("mixtral", "gpt_oss"):
        model = tiny.family(family, torch.bfloat16)
        projection = find_structure(model).projections[2]
        weight = EditedWeight(projection, model.get_submodule(projection.name))
        original = weight.parameter.detach().clone()
        update = Update(torch.randn(2, projection.d_in), torch.randn(2, projection.d_out))
        weight.preview(update)
        moved = weight.commit(update)
        torch.testing.assert_close(moved, float(update.delta().norm()), rtol=1e-4, atol=0)
        expected = original.float() + weight.shift.view_as(original)
        assert weight.parameter.equal(expected.to(torch.bfloat16))
        weight.require_own()
        weight.set_shift(torch.zeros_like(weight.shift))
        assert weight.parameter.equal(original)
