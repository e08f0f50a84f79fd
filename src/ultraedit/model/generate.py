"""Greedy answers of a live model, as token ids and as text."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.model.form import PromptForm
from ultraedit.model.runner.decode import decode
from ultraedit.model.text import PromptEncoder


def greedy_ids(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    stop_ids: frozenset[int],
    batch_size: int = 32,
) -> list[list[int]]:
    """Most likely continuation of each prompt, without the stop token, in the caller's order (`runner.decode`)."""
    found = decode(
        model, prompts, max_new_tokens, stop_ids, batch_size=batch_size, longest_first=True
    )
    return [continuation.ids for continuation in found]


def stop_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer: the tokenizer's and the generation config's."""
    config = model.generation_config
    eos = config.eos_token_id if config is not None else None
    ids = [tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])]
    return frozenset(i for i in ids if isinstance(i, int))


def answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    form: PromptForm,
    max_new_tokens: int = 32,
    batch_size: int = 32,
) -> list[str]:
    """The model's greedy answers as text, stripped."""
    encoder = PromptEncoder(tokenizer, form)
    encoded = [encoder.prompt(p) for p in prompts]
    return answer_ids(model, tokenizer, encoded, max_new_tokens, batch_size)


def answer_ids(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    max_new_tokens: int = 32,
    batch_size: int = 32,
) -> list[str]:
    """`answer` for prompts that are token ids."""
    generated = greedy_ids(
        model, prompts, max_new_tokens, stop_token_ids(model, tokenizer), batch_size
    )
    return [as_text(tokenizer, ids) for ids in generated]


def as_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """An answer's tokens as they are shown: without special tokens, stripped."""
    try:
        return str(tokenizer.decode(list(ids), skip_special_tokens=True)).strip()
    except (ValueError, OverflowError):  # ByT5: the model said a token that stands for no byte
        vocabulary = len(tokenizer)
        known = [i for i in ids if i < vocabulary and i not in tokenizer.all_special_ids]
        return str(tokenizer.decode(known)).strip()
