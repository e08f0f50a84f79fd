"""Finds the decoder blocks and the linear maps of any causal language model, by structure and never by name.

Blocks are the longest list of like modules in the decoder.  In a block the last linear map, from some inner width
back to the hidden width, is the MLP's `down`; its one or two siblings from the hidden width to that inner width (or
twice that, where gate and up are fused) are `up` maps.  Every family of transformers registers them in the order they
run.  A block with experts has their joint map (`maps/experts.py`) as its `down`, and the MLP beside them, which every
token goes through, is `shared`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from ultraedit.errors import ModelError
from ultraedit.model.maps.experts import ExpertsMap
from ultraedit.model.maps.kinds import map_shape


@dataclass(frozen=True)
class Projection:
    """One linear map that can be edited."""

    name: str
    """Full path inside the model, as `model.get_submodule` takes it."""
    block: int
    role: str
    """`down` or `up` (gate, up and fused gate-up maps all read the hidden state: `up`); `shared` for the down map of an
    MLP beside experts."""
    d_in: int
    d_out: int


@dataclass(frozen=True)
class Structure:
    """Where everything is: the decoder, its blocks, and the MLP projections of each block."""

    decoder: PreTrainedModel
    blocks: nn.ModuleList
    blocks_name: str
    projections: tuple[Projection, ...]

    @property
    def depth(self) -> int:
        return len(self.blocks)


def decoder_of(model: PreTrainedModel) -> PreTrainedModel:
    """The part of a model between its token ids and its head."""
    found = model.get_decoder()
    if isinstance(found, PreTrainedModel) and (found is not model or not hasattr(model, "lm_head")):
        return found
    # a class whose `base_model_prefix` names nothing (Llama4ForCausalLM) is handed back whole, and one that calls its
    # head `decoder` (ModernBertDecoderForCausalLM) hands that back
    inner = [m for m in model.children() if isinstance(m, PreTrainedModel)]
    return inner[0] if len(inner) == 1 else found


def find_structure(model: PreTrainedModel, *, named: bool = False) -> Structure:
    """Locate blocks and projections.

    `named`: the caller names the maps to edit, so blocks without a recognised MLP are no obstacle.
    Raises ModelError in one sentence that lists the linear maps found, where the structure is not understood.
    """
    decoder = decoder_of(model)
    lists = [
        (name, module)
        for name, module in decoder.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) > 0
        and all(any(map_shape(m) for m in block.modules()) for block in module)
    ]
    alike = [item for item in lists if len({type(m) for m in item[1]}) == 1]
    if not lists:
        raise _unsupported(model, "no list of like blocks with linear maps inside was found")
    # hybrids list two kinds of block; the longest list of one kind goes before
    list_name, blocks = max(alike or lists, key=lambda item: len(item[1]))
    prefix = next(name for name, module in model.named_modules() if module is decoder)
    blocks_name = f"{prefix}.{list_name}" if prefix else list_name
    found = [
        _mlp_projections(block, f"{blocks_name}.{index}", index)
        for index, block in enumerate(blocks)
    ]
    if not any(found) and not named:
        raise _unsupported(model, _why_no_mlp(blocks))
    return Structure(decoder, blocks, blocks_name, tuple(p for block in found for p in block))


def _mlp_projections(block: nn.Module, block_name: str, index: int) -> list[Projection]:
    """The MLP's maps; empty for a block without one (a state-space mixer)."""
    maps: Maps = []
    experts: list[Projection] = []
    for name, module in block.named_modules():
        shape = map_shape(module)
        if shape is None:
            continue
        if ExpertsMap.fits(module):
            experts.append(Projection(f"{block_name}.{name}", index, "down", *shape))
        else:
            maps.append((name, shape))
    ups = _ups_beside_last(maps)
    if not ups:
        maps, ups = _mlp_elsewhere(block, maps)
    if not ups:
        return experts
    down_name, (inner, hidden) = maps[-1]
    found = [
        Projection(f"{block_name}.{name}", index, "up", shape[0], shape[1]) for name, shape in ups
    ]
    role = "shared" if experts else "down"
    return [*found, Projection(f"{block_name}.{down_name}", index, role, inner, hidden), *experts]


Maps = list[tuple[str, tuple[int, int]]]


def _ups_beside_last(maps: Maps) -> Maps:
    """The `up` maps beside the last map, where that is an MLP's `down`; else none."""
    if not maps:
        return []
    parent = _parent(maps[-1][0])
    beside = [item for item in maps[:-1] if _parent(item[0]) == parent]
    found = _ups_among(beside, maps[-1][1])
    if found or not parent:
        return found
    # gate and up may have a module of their own beside `down`, as in CPM-Ant
    return _ups_among([item for item in maps[:-1] if item[0].startswith(f"{parent}.")], maps[-1][1])


def _ups_among(siblings: Maps, down: tuple[int, int]) -> Maps:
    inner, hidden = down
    ups = [
        (name, shape)
        for name, shape in siblings
        if shape[0] == hidden and shape[1] in (inner, 2 * inner)
    ]
    # attention and state-space mixers also end in a map back to the hidden width, but beside other company: keys
    # and values of another width, or three maps (query, key, value) where an MLP has at most gate and up
    return ups if 0 < len(ups) <= 2 and len(ups) == len(siblings) else []


def _mlp_elsewhere(block: nn.Module, maps: Maps) -> tuple[Maps, Maps]:
    """Maps up to an MLP's `down`, and its `up` maps, where it is not the last thing in its block.

    The last parent whose own maps are an MLP, as in blocks that register their attention or a shared expert's gate
    behind it; else two maps that follow each other and are alone in their parents, as in BERT.
    """
    parents = [_parent(name) for name, _ in maps]
    for parent in dict.fromkeys(reversed(parents)):
        here = [item for item in maps if _parent(item[0]) == parent]
        inner, hidden = here[-1][1]
        ups = _ups_beside_last(here)
        if parent and ups and inner != hidden and _holds_only(block.get_submodule(parent), here):
            return here, ups
    for at in range(len(maps) - 1, 0, -1):
        (_, up), (_, (inner, hidden)) = maps[at - 1], maps[at]
        alone = parents.count(parents[at]) == parents.count(parents[at - 1]) == 1
        if alone and up == (hidden, inner) and inner > hidden:
            return maps[: at + 1], [maps[at - 1]]
    return maps, []


def _holds_only(parent: nn.Module, maps: Maps) -> bool:
    """Whether a module has no parameters beside its linear maps: a mixer of the same shapes has others."""
    own = {id(p) for p in parent.parameters()}
    theirs = [parent.get_submodule(name.rpartition(".")[2]) for name, _ in maps]
    return own == {id(p) for m in theirs for p in m.parameters()}


def _why_no_mlp(blocks: nn.ModuleList) -> str:
    """What is at the end of the first block, and whether its MLPs are packed as experts."""
    maps = [(name, shape) for name, m in blocks[0].named_modules() if (shape := map_shape(m))]
    name, (inner, hidden) = maps[-1]
    why = (
        f"the last linear map of block 0, '{name}' ({inner} to {hidden}), is not beside one or two "
        f"maps from {hidden} to {inner} or {2 * inner} alone, which would make them an MLP"
    )
    packed = next(
        (n for n, p in blocks[0].named_parameters() if p.ndim == 3 and min(p.shape) > 1), None
    )
    if packed is not None:
        why += f", and its experts are packed into one tensor ('{packed}'), which this version does not edit"
    return why


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _packed(model: PreTrainedModel) -> str | None:
    """The first map whose weights are packed by a quantiser, and its class."""
    for name, module in model.named_modules():
        sizes = hasattr(module, "in_features") and hasattr(module, "out_features")
        if sizes and not isinstance(module, nn.Linear) and not list(module.children()):
            return f"'{name}' is a {type(module).__name__}"
    return None


def _unsupported(model: PreTrainedModel, why: str) -> ModelError:
    packed = _packed(model)
    if packed is not None:
        return ModelError(
            f"{type(model).__name__} cannot be edited as it is quantised: {packed}, which holds no plain weights; load "
            "the unquantised checkpoint, or leave the projections to edit out of quantisation."
        )
    shapes: dict[str, str] = {}
    for name, module in model.named_modules():
        if shape := map_shape(module):
            generic = ".".join("*" if part.isdigit() else part for part in name.split("."))
            shapes.setdefault(generic, f"{generic} ({shape[0]} to {shape[1]})")
    listed = ", ".join(shapes.values()) or "none"
    return ModelError(
        f"{type(model).__name__} cannot be edited by structure: {why}; the linear maps found are: {listed}; "
        "name the ones to edit with modules=[...] (names or globs)."
    )
