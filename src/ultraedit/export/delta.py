"""The edits alone, exact to the bit: fp32 shifts in one safetensors, and a JSON that says which base they fit.

On disk: `delta.safetensors` holds, for each edited module, `<module>.shift` (fp32, in the parameter's own
orientation; the edited weight is original + shift, added in fp32 and rounded once to the weight's dtype) or, where
that sum would not give the live weight to the bit, `<module>.weight` (the edited weight itself).  `delta.json` is
`DeltaFile`.  docs/export.md specifies both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from ultraedit.editing.plain import plain_name
from ultraedit.errors import ModelError
from ultraedit.export.edited import Edited, require_edits
from ultraedit.io.digest import dtype_name, sha256_file, tensor_digest
from ultraedit.methods.base import Method
from ultraedit.methods.presets import settings_of
from ultraedit.model.maps.kinds import take_map
from ultraedit.model.weights import EditedWeight

TENSORS, DESCRIPTION = "delta.safetensors", "delta.json"
VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class DeltaModule(_Part):
    name: str
    stored: Literal["shift", "weight"]
    dtype: str
    shape: tuple[int, int]
    base_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """`tensor_digest` of the unedited weight in `dtype`."""
    edited_sha256: str = Field(pattern="^[0-9a-f]{64}$")


class DeltaFile(_Part):
    """The whole of `delta.json`."""

    format: Literal["ultraedit-delta"] = "ultraedit-delta"
    version: Literal[1] = VERSION
    base: str
    prompts: Literal["raw", "chat"]
    """The form in which the model was edited and should be asked."""
    edits: int
    turns: int
    method: dict[str, Any]
    modules: tuple[DeltaModule, ...]
    tensors_sha256: str = Field(pattern="^[0-9a-f]{64}$")


def write_delta(edited: Edited, folder: Path) -> None:
    """Write both files into `folder`, which exists.  Raises ConfigError where nothing was edited."""
    require_edits(edited)
    tensors: dict[str, Tensor] = {}
    modules = []
    for w in edited.weights:
        stored: Literal["shift", "weight"] = "shift" if _adds_up(w) else "weight"
        value = w.shift if stored == "shift" else w.matrix
        name = plain_name(w.name)
        tensors[f"{name}.{stored}"] = value.detach().cpu().contiguous()
        modules.append(
            DeltaModule(
                name=name,
                stored=stored,
                dtype=dtype_name(w.original),
                shape=(w.original.shape[0], w.original.shape[1]),
                base_sha256=weight_digest(w.original),
                edited_sha256=weight_digest(w.matrix),
            )
        )
    save_file(tensors, folder / TENSORS)
    method: Method = edited.method
    description = DeltaFile(
        base=edited.base,
        prompts=edited.form,
        edits=edited.edits,
        turns=edited.turns,
        method=settings_of(method),
        modules=tuple(modules),
        tensors_sha256=sha256_file(folder / TENSORS),
    )
    text = json.dumps(description.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


@torch.no_grad()
def apply_delta(model: PreTrainedModel, path: str | Path) -> DeltaFile:
    """Turn the unedited `model` into the edited one, to the bit, and return what the delta says of itself.

    path: the folder that `--to delta` wrote.  Raises ModelError, with the model untouched, if the folder is damaged
    or the model is not the base the delta was made from, in the same dtype.
    """
    folder = Path(path)
    delta = read_delta(folder)
    tensors = _read_tensors(folder, delta)
    made: list[tuple[Tensor, Tensor]] = []
    for module in delta.modules:
        weight = _matching(model, module, delta, folder)
        value = tensors[f"{module.name}.{module.stored}"].to(weight.device)
        if module.stored == "shift":
            value = (weight.float() + value).to(weight.dtype)
        if weight_digest(value) != module.edited_sha256:
            raise ModelError(
                f"'{folder}' does not give '{module.name}' the weights it was exported with; export it again."
            )
        made.append((weight, value))
    for weight, value in made:
        weight.copy_(value)
    return delta


def read_delta(folder: Path) -> DeltaFile:
    """The description.  Raises ModelError where it is missing, damaged or of another version."""
    file = folder / DESCRIPTION
    try:
        return DeltaFile.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(
            f"'{folder}' holds no readable {DESCRIPTION}; name the folder that --to delta wrote."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(x) for x in first["loc"]) or "the file"
        raise ModelError(
            f"'{file}' is not a delta of version {VERSION} ({where}: {first['msg']}); export it again."
        ) from error


def _read_tensors(folder: Path, delta: DeltaFile) -> dict[str, Tensor]:
    file = folder / TENSORS
    try:
        whole = sha256_file(file) == delta.tensors_sha256
        tensors = load_file(file) if whole else {}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"'{file}' cannot be read ({error}); export it again.") from error
    wanted = {f"{m.name}.{m.stored}": m for m in delta.modules}
    if not whole or set(tensors) != set(wanted):
        raise ModelError(
            f"'{file}' is not the file that {DESCRIPTION} describes: it was changed or damaged; export it again."
        )
    for name, module in wanted.items():
        if tuple(tensors[name].shape) != module.shape:
            raise ModelError(f"'{file}' holds '{name}' in another shape than {DESCRIPTION} says.")
    return tensors


def _matching(
    model: PreTrainedModel, module: DeltaModule, delta: DeltaFile, folder: Path
) -> Tensor:
    """The live weight, if it is the unedited one the delta was made from."""
    try:
        weight = take_map(module.name, model.get_submodule(module.name)).live_matrix
    except AttributeError as error:
        raise ModelError(
            f"'{folder}' edits '{module.name}', which this {type(model).__name__} does not have; load the base "
            f"'{delta.base}'."
        ) from error
    if dtype_name(weight) != module.dtype:
        raise ModelError(
            f"'{folder}' was made from '{delta.base}' in {module.dtype} and this model is in "
            f"{dtype_name(weight)}; load it with dtype {module.dtype}."
        )
    if weight_digest(weight) != module.base_sha256:
        raise ModelError(
            f"'{module.name}' of this model is not the weight '{folder}' was made from; load the unedited base "
            f"'{delta.base}', in the version that was edited."
        )
    return weight


def _adds_up(w: EditedWeight) -> bool:
    """Whether round(original + shift) is the live weight: always, but for rare entries of preset `paper` in fp32."""
    made = (w.original.float() + w.shift).to(w.original.dtype)
    return torch.equal(made, w.matrix)


def weight_digest(weight: Tensor) -> str:
    """sha256 over a weight's dtype, shape and bytes, as this format has it.  64 hex digits."""
    return tensor_digest(weight, f"{dtype_name(weight)} {list(weight.shape)}\n")
