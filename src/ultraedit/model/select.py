"""Which projections to edit: `auto` by depth, `paper` where published, or names and globs."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from transformers import PreTrainedConfig, PreTrainedModel

from ultraedit.errors import ModelError
from ultraedit.model.find import Projection, Structure
from ultraedit.model.maps.kinds import map_shape

AUTO_DEPTH = (0.80, 0.95)
"""`auto` edits the down maps of the blocks whose index lies in this share of the depth: 24-28 of 30."""

UPPER_DEPTH = (0.66, 0.83)
"""`upper`: 20-24 of 30.  Higher up a map's keys tell less what is asked, and an edit there is heard in more answers."""

PUBLISHED: dict[tuple[str, int, int], tuple[tuple[str, range], ...]] = {
    # (model type, blocks, hidden width): ((leaf name, blocks), ...).  UltraEdit, appendix on settings.
    ("gptj", 28, 4096): (("fc_out", range(18, 27)),),
    ("mistral", 32, 4096): (("down_proj", range(29, 31)),),
    ("llama", 32, 4096): (("gate_proj", range(11, 16)), ("up_proj", range(18, 25))),
    ("qwen2", 28, 3584): (("gate_proj", range(18, 27)), ("up_proj", range(18, 27))),
    ("phi3", 40, 5120): (("down_proj", range(30, 39)),),
    ("gemma3_text", 62, 5376): (("gate_proj", range(52, 61)), ("up_proj", range(52, 61))),
}


def select_projections(
    model: PreTrainedModel, structure: Structure, modules: str | Sequence[str]
) -> tuple[Projection, ...]:
    """Resolve a choice to projections in the order they run.

    `modules` is `"auto"`, `"upper"`, `"paper"`, a name or glob over full module names, or several of those.
    Raises ModelError where nothing matches or the paper has no setting for this shape.
    """
    if modules in ("auto", "upper"):
        low, high = AUTO_DEPTH if modules == "auto" else UPPER_DEPTH
        chosen = [
            p
            for p in structure.projections
            if p.role == "down" and low <= p.block / structure.depth < high
        ]
        if not chosen:
            # very shallow models: the last block but one, or the only one; where that has no MLP (hybrids, experts),
            # the nearest one, below if there is one
            downs = [p for p in structure.projections if p.role == "down"]
            block = max(structure.depth - 2, 0)
            below = [p.block for p in downs if p.block <= block]
            nearest = max(below) if below else min(p.block for p in downs)
            chosen = [p for p in downs if p.block == nearest]
        return tuple(chosen)
    if modules == "paper":
        return _published(structure, model)
    patterns = [modules] if isinstance(modules, str) else list(modules)
    return _by_pattern(model, structure, patterns)


def _published(structure: Structure, model: PreTrainedModel) -> tuple[Projection, ...]:
    config: PreTrainedConfig = structure.decoder.config
    key = (config.model_type, structure.depth, int(config.hidden_size))  # type: ignore[attr-defined]
    if key not in PUBLISHED:
        raise ModelError(
            f"UltraEdit published no module choice for {key[0]} with {key[1]} blocks of width {key[2]}; "
            'use modules="auto" or name them.'
        )
    wanted = {(leaf, block): True for leaf, blocks in PUBLISHED[key] for block in blocks}
    return tuple(p for p in structure.projections if (p.name.rpartition(".")[2], p.block) in wanted)


def _by_pattern(
    model: PreTrainedModel, structure: Structure, patterns: list[str]
) -> tuple[Projection, ...]:
    known = {p.name: p for p in structure.projections}
    chosen: dict[str, Projection] = {}
    for pattern in patterns:
        found = False
        for name, module in model.named_modules():
            shape = map_shape(module)
            if shape is None or not fnmatchcase(name, pattern):
                continue
            block = _block_index(name, structure)
            if block is None:
                continue
            found = True
            chosen[name] = known.get(name) or Projection(name, block, "other", *shape)
        if not found:
            inside = [n for n, m in model.named_modules() if map_shape(m)]
            inside = [n for n in inside if _block_index(n, structure) is not None]
            examples = ", ".join([p.name for p in structure.projections[-3:]] or inside[-3:])
            raise ModelError(
                f"no linear map inside the blocks matches '{pattern}'; names look like {examples}."
            )
    order = {name: i for i, (name, _) in enumerate(model.named_modules())}
    return tuple(sorted(chosen.values(), key=lambda p: order[p.name]))


def _block_index(name: str, structure: Structure) -> int | None:
    prefix = structure.blocks_name + "."
    if not name.startswith(prefix):
        return None
    return int(name[len(prefix) :].partition(".")[0])
