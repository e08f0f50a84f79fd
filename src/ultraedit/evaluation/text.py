"""Prompt and answer as token ids, the same as the editor sees them, with empty ones refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ultraedit.errors import DataError
from ultraedit.model.form import PromptForm

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ultraedit.model.text import PromptEncoder


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A prompt and the answer that follows it, as token ids; equal pairs hash equally, so they can
    key a cache."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, prompt: str, form: PromptForm = "raw"
) -> list[int]:
    """`prompt_ids` where a single prompt is wanted.

    Raises ConfigError when `chat` is asked of a tokenizer without a chat template.
    """
    from ultraedit.model.text import PromptEncoder

    return prompt_ids(PromptEncoder(tokenizer, form), prompt)


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, form: PromptForm = "raw"
) -> TokenPair:
    """`pair_of` where a single pair is wanted."""
    from ultraedit.model.text import PromptEncoder

    return pair_of(PromptEncoder(tokenizer, form), prompt, target)


def prompt_ids(encoder: PromptEncoder, prompt: str) -> list[int]:
    """`PromptEncoder.prompt`.  Raises DataError when nothing is left of the prompt."""
    ids = encoder.prompt(prompt)
    if not prompt.strip() or not ids:
        raise DataError(f"the prompt {prompt!r} is empty: give it some text.")
    return ids


def pair_of(encoder: PromptEncoder, prompt: str, target: str) -> TokenPair:
    """`PromptEncoder.pair`.  Raises DataError when nothing is left of prompt or target."""
    prompted, ids = encoder.pair(prompt, target)
    if not prompt.strip() or not prompted:
        raise DataError(f"the prompt {prompt!r} is empty: give it some text.")
    if not target.strip() or not ids:
        raise DataError(f"the answer {target!r} is empty: an answer needs at least one token.")
    return TokenPair(tuple(prompted), tuple(ids))
