"""Batched greedy generation with a key-value cache and left padding.

Results do not depend on batch size or padding (ties in the logits aside).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.model.context import context_length
from ultraedit.model.find import decoder_of
from ultraedit.model.form import PromptForm
from ultraedit.model.keeps import new_cache
from ultraedit.model.replace import head_logits
from ultraedit.model.steady import steady
from ultraedit.model.text import PromptEncoder


@torch.no_grad()
def greedy_ids(
    model: PreTrainedModel,
    prompts: Sequence[list[int]],
    max_new_tokens: int,
    stop_ids: frozenset[int],
    batch_size: int = 32,
) -> list[list[int]]:
    """Most likely continuation of each prompt, without the stop token, in the caller's order.

    Prompts are grouped by length to keep padding small; a batch ends as soon as all its rows have stopped.  An answer
    ends where the model's context does.
    """
    results: list[list[int]] = [[] for _ in prompts]
    context = context_length(model)
    with steady(model):
        for rows in _batches([len(p) for p in prompts], context - max_new_tokens, batch_size):
            chosen = [prompts[r] for r in rows]
            room = context - max(map(len, chosen))
            found = _greedy_batch(model, chosen, min(max_new_tokens, room), stop_ids)
            for row, ids in zip(rows, found, strict=True):
                results[row] = ids
    return results


def _batches(lengths: Sequence[int], roomy: int, batch_size: int) -> list[list[int]]:
    """Rows that are run together: longest first, and of one length each where that is more than `roomy` tokens, so
    that a row beside a longer one has all of its own room."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    found: list[list[int]] = []
    for row in order:
        longest = lengths[found[-1][0]] if found else None
        if longest is None or len(found[-1]) == batch_size or roomy < longest != lengths[row]:
            found.append([])
        found[-1].append(row)
    return found


def _device(model: PreTrainedModel) -> torch.device:
    return model.get_input_embeddings().weight.device  # type: ignore[return-value]


def _greedy_batch(
    model: PreTrainedModel, prompts: list[list[int]], max_new_tokens: int, stop_ids: frozenset[int]
) -> list[list[int]]:
    device = _device(model)
    width = max(len(p) for p in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for i, prompt in enumerate(prompts):
        ids[i, width - len(prompt) :] = torch.tensor(prompt)
        mask[i, width - len(prompt) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    decoder = decoder_of(model)
    cache = new_cache(model)
    out: list[list[int]] = [[] for _ in prompts]
    running = [True] * len(prompts)
    for _ in range(max_new_tokens):
        hidden = decoder(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        chosen = head_logits(model, hidden[:, -1]).argmax(-1)
        for i, token in enumerate(chosen.tolist()):
            if running[i] and token in stop_ids:
                running[i] = False
            if running[i]:
                out[i].append(token)
        if not any(running):
            break
        mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], 1)
        if cache is None:
            ids = torch.cat([ids, chosen[:, None]], 1)
            positions = torch.cat([positions, positions[:, -1:] + 1], 1)
        else:
            ids = chosen[:, None]
            positions = positions[:, -1:] + 1
    return out


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
