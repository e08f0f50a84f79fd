"""What a checkpoint is, told before and after it is read: a whole causal language model in plain weights, or not.

transformers fills what a checkpoint lacks with random numbers and says so in a log; an edit of such a model would be
saved as if all were well.  Here every such case is refused in one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ultraedit.errors import ModelError
from ultraedit.model.devices import runs_on
from ultraedit.quiet import no_logs

NAMED = 3
"""Tensors named in a refusal at most."""
LONGEST = 240
"""Characters of another library's message that are quoted at most."""

PACKAGES = {
    "aqlm": "aqlm",
    "auto-round": "auto-round",
    "awq": "gptqmodel",
    "bitsandbytes": "bitsandbytes",
    "compressed-tensors": "compressed-tensors",
    "eetq": "kernels",
    "fbgemm_fp8": "kernels",
    "fp_quant": "fp_quant",
    "gptq": "gptqmodel and optimum",
    "higgs": "flute-kernel",
    "hqq": "hqq",
    "quanto": "optimum-quanto",
    "quark": "amd-quark",
    "sinq": "sinq",
    "spqr": "spqr_quant",
    "torchao": "torchao",
    "vptq": "vptq",
}
"""Quantisation method, as a config.json names it -> what reads it."""


def read_config(name: str, source: str, trust_remote_code: bool) -> PreTrainedConfig:
    """The config of a folder or hub id.  Raises ModelError where it cannot be read."""
    try:
        with no_logs("huggingface_hub"):  # each try to reach the hub
            return AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:  # a damaged file or a checkpoint's own code can raise anything
        raise unreadable(name, source, "config.json", error) from error


def refuse_other_kinds(name: str, config: PreTrainedConfig) -> None:
    """Raise ModelError for a config of anything but a causal language model."""
    kind = f"'{name}' ({config.model_type or 'a model of no stated type'})"
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{kind} is an encoder-decoder, and only causal (decoder-only) language models are edited; name one of "
            "those."
        )
    own_code = getattr(config, "auto_map", None) or {}
    known = AutoModelForCausalLM._model_mapping  # type: ignore[attr-defined]
    if type(config) not in known and "AutoModelForCausalLM" not in own_code:
        raise ModelError(
            f"{kind} is not a causal language model: transformers has none of this type; name one that generates text."
        )


def refuse_incomplete(name: str, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Raise ModelError where parameters were made up or left out, by the report of `from_pretrained`.

    Buffers are not counted: every family makes its own again.
    """
    wrong: list[Any] = sorted(report.get("mismatched_keys") or ())
    if wrong:
        key, found, wanted = wrong[0]
        raise ModelError(
            f"'{name}' is damaged: '{key}' is {tuple(found)} in its weights and {tuple(wanted)} by its config.json"
            f"{_and_more(len(wrong) - 1)}; get the whole checkpoint again."
        )
    made = {id(p) for p in model.parameters()}
    missing = sorted(k for k in report.get("missing_keys") or () if _parameter(model, k) in made)
    if not missing:
        return
    written_as = [str(a) for a in getattr(model.config, "architectures", None) or ()]
    what = f" (it was saved as {written_as[0]})" if written_as else ""
    raise ModelError(
        f"'{name}'{what} lacks weights of {type(model).__name__}: {_some(missing)}; they would be random numbers, so "
        "it is not edited: name a checkpoint of the whole causal language model."
    )


@torch.no_grad()
def refuse_both_ways(name: str, model: PreTrainedModel) -> None:
    """Raise ModelError for a masked language model: one whose early tokens see the later ones.

    Families that can be both have the setting `is_decoder`; only where it is off the model is tried.
    """
    if getattr(model.config, "is_decoder", None) is not False:
        return
    rows = min(_rows(model) or 16, 16)
    ids = torch.arange(8, device=runs_on(model)).remainder(rows)[None]
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % rows
    first, second = (
        model(input_ids=i, attention_mask=torch.ones_like(i)).logits for i in (ids, other)
    )
    if not torch.allclose(first[0, 0], second[0, 0], rtol=1e-3, atol=1e-4):
        raise ModelError(
            f"'{name}' is a masked language model ({type(model).__name__} with is_decoder off in its config.json): its "
            "tokens see those after them, so it does not generate text; name a causal language model."
        )


def refuse_foreign_tokenizer(
    name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Raise ModelError where ordinary tokens have no row in the embedding.

    Tokens added on top are not counted: many checkpoints have one for padding that is never looked up.
    """
    rows = _rows(model)
    if rows is not None and tokenizer.vocab_size > rows:
        raise ModelError(
            f"the tokenizer of '{name}' knows {tokenizer.vocab_size:,} tokens and its embedding has {rows:,} rows: it "
            "belongs to another model; put the right tokenizer files into the folder."
        )


def unreadable(name: str, source: str, part: str, error: Exception) -> ModelError:
    """The sentence for whatever reading a checkpoint raised; `part` is what was being read."""
    why = f"reading its {part} failed: {one_line(error)}"
    if "trust_remote_code" in str(error):
        return ModelError(
            f"'{name}' brings its own Python code, which is run only if you allow it: read its .py files, and if you "
            "trust them pass --trust-remote-code (in Python trust_remote_code=True)."
        )
    if Path(source).is_dir():
        return ModelError(
            f"'{name}' could not be loaded as a causal language model: {why}; the folder is damaged or holds something "
            "else: save or download the model again."
        )
    if isinstance(error, OSError):
        return ModelError(
            f"there is no folder '{name}' here, and no model of that name could be loaded from the hub; give a local "
            "folder, a hub id you can reach, or the alias 'smollm2'."
        )
    return ModelError(
        f"'{name}' could not be loaded as a causal language model: {why}; give a local folder, a hub id you can reach, "
        "or the alias 'smollm2'."
    )


def unreadable_quantised(name: str, config: PreTrainedConfig, error: Exception) -> ModelError:
    """The sentence for a quantised checkpoint that cannot be read here."""
    settings = getattr(config, "quantization_config", None)
    method = settings.get("quant_method") if isinstance(settings, dict) else None
    if method is None and isinstance(settings, dict) and any("load_in" in k for k in settings):
        method = "bitsandbytes"
    needs = PACKAGES.get(str(method).removesuffix("_4bit").removesuffix("_8bit"))
    reads = f", read with {needs}" if needs else ""
    return ModelError(
        f"'{name}' is quantised ({method or 'it does not say how'}{reads}) and cannot be loaded here: "
        f"{one_line(error)}; name the unquantised model, because quantised weights are not edited."
    )


def one_line(error: BaseException) -> str:
    """Another library's message as part of a sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"it lacks {text}"
    return (text if len(text) <= LONGEST else text[: LONGEST - 1] + "…").rstrip(".")


def _rows(model: PreTrainedModel) -> int | None:
    """Tokens that the embedding knows; None where a family keeps it in its own way."""
    try:
        weight: Any = model.get_input_embeddings().weight
        return int(weight.shape[0])
    except (AttributeError, NotImplementedError, IndexError):
        return None


def _parameter(model: PreTrainedModel, key: str) -> int:
    """Identity of a parameter, 0 for what is none."""
    try:
        return id(model.get_parameter(key))
    except AttributeError:
        return 0


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in names[:NAMED]) + _and_more(len(names) - NAMED)


def _and_more(count: int) -> str:
    return f" (and {count:,} more)" if count > 0 else ""
