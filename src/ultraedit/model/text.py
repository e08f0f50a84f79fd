"""From prompt and target to token ids, in the form the model will be asked in.

Source: UltraEdit (arXiv 2505.14679): prompt and " " + target are tokenised apart and joined.
"""

from __future__ import annotations

from typing import Literal

from transformers import PreTrainedTokenizerBase

from ultraedit.errors import ConfigError
from ultraedit.model.batch import common_start

Form = Literal["raw", "chat"]
Format = Literal["auto", "raw", "chat"]


def resolve_format(tokenizer: PreTrainedTokenizerBase, form: str) -> Form:
    """`auto` is `chat` where the tokenizer carries a chat template, else `raw`."""
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if form == "auto":
        return "chat" if has_template else "raw"
    if form == "chat" and not has_template:
        raise ConfigError(
            'format="chat" needs a chat template and this tokenizer has none; use format="raw".'
        )
    if form not in ("raw", "chat"):
        raise ConfigError(f'format "{form}" is unknown; use "auto", "raw" or "chat".')
    return form  # type: ignore[return-value]


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, form: Form) -> list[int]:
    """Token ids of the prompt as it stands before the answer's first token.

    Raw: the tokenizer's own special tokens (a BOS, say) and the text without trailing blanks, because the answer
    brings its own.  Chat: the chat template around the prompt as the user's message, ready for the answer.
    """
    if form == "chat":
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return list(tokenizer(rendered, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]
    return list(tokenizer(prompt.rstrip(" "))["input_ids"])  # type: ignore[arg-type]


def opening_tokens(tokenizer: PreTrainedTokenizerBase, form: Form) -> int:
    """How many tokens all prompts of a form begin with: a BOS, or the head of a chat template.  At least 1: the first
    token of a text is an outlier in most models whatever it is."""
    one, other = (encode_prompt(tokenizer, letter, form) for letter in "aZ")
    return max(len(common_start([one, other])), 1)


def encode_target(tokenizer: PreTrainedTokenizerBase, target: str, form: Form) -> list[int]:
    """Token ids of the answer: `" " + target` in raw form, `target` after a chat template's generation prompt."""
    text = target.strip(" ") if form == "chat" else " " + target.strip(" ")
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, form: Form
) -> tuple[list[int], list[int]]:
    """(prompt ids, target ids); the model predicts target j from everything before it."""
    return encode_prompt(tokenizer, prompt, form), encode_target(tokenizer, target, form)


def end_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token with which this model ends an answer."""
    if tokenizer.eos_token_id is None:
        raise ConfigError(
            "this tokenizer has no end-of-sequence token; edit with end_token=False (--no-end-token)."
        )
    return int(tokenizer.eos_token_id)  # type: ignore[arg-type]
