"""Models whose frozen weights are quantised: loaded so, or come so.

The projections to edit stay in full precision, and are chosen before the weights are read: the model's structure is
built without weights, and their full paths go to bitsandbytes as what it skips.  In a model that comes in 4 or 8 bits
they are turned into full precision, one matrix each, and that is the model that is edited.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from logging import ERROR, getLogger
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from ultraedit.errors import ConfigError, ModelError
from ultraedit.extras import require
from ultraedit.model.checkpoint import one_line
from ultraedit.model.find import find_structure
from ultraedit.model.select import select_projections

KINDS = ("4bit", "8bit")
PACKED = ("Linear4bit", "Linear8bitLt")
"""bitsandbytes' linear maps."""
LOGS = ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops")
"""Who says that 8-bit maps cast what they are given, and that a faster kernel is not there."""
CHOICES = ("auto", "upper", "paper")


def quantisation(
    name: str,
    config: PreTrainedConfig,
    kind: str,
    keep: Sequence[str],
    dtype: torch.dtype | str,
    trust_remote_code: bool,
) -> Any:
    """What `from_pretrained` takes as `quantization_config` for `kind`, "4bit" or "8bit".

    keep: choices, names and globs of the maps that stay in full precision.
    Raises ConfigError where bitsandbytes is not installed or the model comes quantised, and ModelError where its
    structure cannot be edited.
    """
    require(f"--quantize {kind}", "quantized")
    if is_quantised(config):
        raise ConfigError(
            f"'{name}' comes quantised, so it cannot be quantised again; leave out --quantize {kind}, or name the "
            "unquantised model."
        )
    from transformers import BitsAndBytesConfig
    from transformers.quantizers.base import get_keys_to_not_convert

    try:
        with torch.device("meta"):
            shape: Any = AutoModelForCausalLM.from_config(
                config, trust_remote_code=trust_remote_code
            )
    except Exception as error:  # each family checks its numbers in its own way, or not at all
        raise ModelError(
            f"the config of '{name}' does not make a model: {one_line(error)}; mend its config.json."
        ) from error
    chosen = _chosen(shape, keep) if keep else []
    # a list of one's own takes the place of transformers' (the head and what is tied to it), which goes in again
    skip = [*get_keys_to_not_convert(shape), *chosen]
    if kind == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    compute = dtype if isinstance(dtype, torch.dtype) else getattr(config, "dtype", None)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute or torch.float32,
        llm_int8_skip_modules=skip,
    )


def _chosen(model: PreTrainedModel, keep: Sequence[str]) -> list[str]:
    """Full paths, as the patterns that transformers takes: any shorter end would hit other layers too."""
    structure = find_structure(model, named=not any(k in CHOICES for k in keep))
    names = {p.name: None for k in keep for p in select_projections(model, structure, k)}
    return [re.escape(name) for name in names]


def is_quantised(config: PreTrainedConfig) -> bool:
    """Whether a checkpoint says that its weights are quantised."""
    return bool(getattr(config, "quantization_config", None))


def packed_maps(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Every linear map of bitsandbytes, by full path."""
    return ((n, m) for n, m in model.named_modules() if type(m).__name__ in PACKED)


def packed(model: nn.Module) -> bool:
    """Whether any linear map of a model is in 4 or 8 bits."""
    return next(packed_maps(model), None) is not None


def require_whole(model: nn.Module, base: str) -> None:
    """Raise ConfigError for a model of packed weights: a plain checkpoint of it would be another model."""
    if packed(model):
        raise ConfigError(
            f"'{base}' was edited with its other weights in 4 or 8 bits, and a merged full-precision checkpoint "
            "would be another model than the one that was edited; keep the edits in a workspace "
            "(ultraedit init --quantize) or take them out with --to delta."
        )


def keep_gradients(model: nn.Module) -> None:
    """Have bitsandbytes' 4-bit maps stay as they are on a CPU, or be again as they were loaded.

    Where the processor has AVX512-BF16, their first run without gradient packs the weight anew, and from then on they
    have no gradient at all and do not say so.  Its logs, which say the same at every matrix product, are held back.
    """
    for _, module in packed_maps(model):
        for log in LOGS:
            getLogger(log).setLevel(ERROR)
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        module.support_avx512bf16_for_cpu = False
        state: Any = getattr(module.weight, "quant_state", None)
        if getattr(state, "packing_format_for_cpu", False):
            from bitsandbytes.functional import _convert_weight_packed_for_cpu_inverse

            module.weight.data, module.weight.quant_state = _convert_weight_packed_for_cpu_inverse(
                module.weight.data, state
            )


@torch.no_grad()
def unpack(model: PreTrainedModel, names: Sequence[str]) -> list[str]:
    """Put an nn.Linear of the dequantised weight in the place of each of these maps that is packed.

    Returns the names of those.
    """
    made = []
    for name in names:
        module: Any = model.get_submodule(name)
        if type(module).__name__ not in PACKED:
            continue
        weight = _dequantised(module).to(model.dtype)
        linear = nn.Linear(
            weight.shape[1], weight.shape[0], bias=module.bias is not None, device="meta"
        )
        linear.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
        if module.bias is not None:
            linear.bias = nn.Parameter(module.bias.detach().to(model.dtype), requires_grad=False)
        parent, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(parent), leaf, linear)
        made.append(name)
    return made


def _dequantised(module: Any) -> Tensor:
    from transformers.integrations.bitsandbytes import dequantize_bnb_weight

    return dequantize_bnb_weight(module.weight, getattr(module, "state", None))


def scales(parameter: Tensor) -> list[Tensor]:
    """What a packed weight is multiplied by: it belongs to the weight, and is no parameter or buffer."""
    found = []
    state: Any = getattr(parameter, "quant_state", None)
    while state is not None:
        found.append(state.absmax)
        state = getattr(state, "state2", None)
    rows = getattr(parameter, "SCB", None)
    return [*found, rows] if isinstance(rows, Tensor) else found
