"""Editing a prompt's own tokens with the answer's: which they are, where they stand, and what is left alone."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerBase

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError
from ultraedit.methods.presets import method
from ultraedit.methods.prompt_tokens import leading_tokens
from ultraedit.model.batch import make_batch
from ultraedit.model.find import find_structure
from ultraedit.model.stack import Stack
from ultraedit.model.text import PromptEncoder
from ultraedit.model.trace import trace
from ultraedit.model.weights import edited_weights
from ultraedit.settings import EditSettings

PAIRS = [([5, 6, 7, 8], [9, 10]), ([11, 12], [13]), ([14, 15, 16], [17])]
RECORDS = [Record(*fact) for fact in tiny.FACTS[:4]]


def test_a_wide_batch_can_edit_all_but_a_prompts_first_token() -> None:
    batch = make_batch(PAIRS, range(3), begin=1)
    row, column = batch.edited
    tokens = batch.suffix_ids[row, column].tolist()
    # the answers' own rows first: what predicts them is the prompt's last token and the answer so far
    assert tokens == [8, 9, 12, 16, 6, 7, 15]
    assert row.tolist() == [0, 0, 1, 2, 0, 0, 2]
    assert batch.open == (2, 0, 1)
    narrow = make_batch(PAIRS, range(3))
    assert narrow.open == (0, 0, 0)
    assert all(torch.equal(a, b) for a, b in zip(narrow.edited, narrow.answers, strict=True))


def test_the_tokens_of_largest_gradient_are_kept_in_each_row() -> None:
    batch = make_batch(PAIRS, range(3), begin=1)
    sizes = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 0.5])
    assert leading_tokens(batch, sizes, 1).tolist() == [0, 1, 2, 3, 5, 6]
    assert leading_tokens(batch, sizes, 9).tolist() == list(range(7))


def test_rows_of_a_wide_batch_are_its_own_edits() -> None:
    """Keys and gradients of each pair, prompt tokens included, are those of running it alone."""
    model = tiny.llama().eval().requires_grad_(False)
    structure = find_structure(model)
    stack = Stack(model, structure, 1)
    weights = edited_weights(model, structure.projections[-1:])

    def rows(batch):
        return trace(stack, weights, batch, stack.trunk(batch), "sum")

    together = rows(make_batch(PAIRS, range(3), begin=1))
    for i, pair in enumerate(PAIRS):
        alone = rows(make_batch([pair], [0], begin=1))
        mine = together.owner == i
        for a, b in zip(together.keys + together.grads, alone.keys + alone.grads, strict=True):
            torch.testing.assert_close(a[mine], b, atol=1e-5, rtol=1e-4)
    some = make_batch(PAIRS, range(3), begin=1).only(torch.tensor([0, 2]))
    left = rows(some)
    kept = together.owner != 1
    assert left.owner.tolist() == together.owner[kept].tolist()
    torch.testing.assert_close(left.grads[0], together.grads[0][kept], atol=1e-5, rtol=1e-4)


def test_what_all_prompts_begin_with_is_counted(
    byte_tokenizer: PreTrainedTokenizerBase, chat_tokenizer: PreTrainedTokenizerBase
) -> None:
    assert PromptEncoder(byte_tokenizer, "raw").opening == 1  # a BOS
    # nothing, but a first token is left alone
    assert PromptEncoder(tiny.tokenizer(bos=False), "raw").opening == 1
    head = PromptEncoder(chat_tokenizer, "chat").opening
    ids = chat_tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, tokenize=False
    )
    before = chat_tokenizer(ids.split("x")[0], add_special_tokens=False)["input_ids"]
    assert head == len(before) > 1


def test_a_chat_templates_head_is_run_once_and_never_edited() -> None:
    """Sharing it changes nothing, and no edited token lies in it."""
    tokenizer = tiny.tokenizer(chat=True)
    tokenizer.chat_template = "A system prompt.\n" + str(tokenizer.chat_template)

    def made() -> Editor:
        # scaled, because whitening by a first turn's few rows magnifies rounding
        how = method("thorough", step=0.1, steps=3, text_weight=0.0, whiten=False)
        return Editor(
            tiny.llama(), tokenizer, EditSettings(preset=how, form="chat", text=tiny.TEXT)
        )

    shared, apart = made(), made()
    apart.stack.share = 0
    turns = shared.edit_turn(RECORDS).result, apart.edit_turn(RECORDS).result
    assert turns[0].owner.tolist() == turns[1].owner.tolist()
    for a, b in zip(shared.weights, apart.weights, strict=True):
        torch.testing.assert_close(a.shift, b.shift, atol=1e-5, rtol=1e-3)
    begin = shared.engine.batching.begin
    pairs = [(list(range(40)), [203, 204]), ([*range(begin), 70, 71, 72], [205])]
    batch = make_batch(pairs, range(2), share=2**62, begin=begin)
    row, column = batch.edited
    assert len(batch.shared) == begin > 16
    assert min(batch.suffix_ids[row, column].tolist()) == begin


def test_prompt_tokens_are_extra_rows_of_their_edit() -> None:
    plain = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    wide = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(preset="thorough", text=tiny.TEXT))
    few = torch.bincount(plain.edit_turn(RECORDS).result.owner)
    many = torch.bincount(wide.edit_turn(RECORDS).result.owner)
    assert (many - few).tolist() == [4] * len(RECORDS)


@pytest.mark.parametrize(("preset", "count"), [("default", -1), ("paper", 2)])
def test_bad_counts_are_quoted(preset: str, count: int) -> None:
    with pytest.raises(ConfigError, match=f"prompt_tokens is {count}"):
        method(preset, prompt_tokens=count)


def test_a_single_edit_tokenises_its_prompt_to_ask_to_edit_and_with_its_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    prompt, target = tiny.FACTS[0]
    seen: list[str] = []
    plain = PromptEncoder._ids
    monkeypatch.setattr(
        PromptEncoder, "_ids", lambda self, text: (seen.append(text), plain(self, text))[1]
    )
    editor.edit(prompt, target)
    assert sorted(seen) == [prompt, prompt, f"{prompt} {target}"]
