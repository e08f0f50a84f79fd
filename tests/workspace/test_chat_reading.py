"""What a workspace's turn says of the model's own answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny
from ultraedit.data.record import Record
from ultraedit.data.requests import bundled_requests
from ultraedit.editing.editor import Editor
from ultraedit.settings import EditSettings
from ultraedit.workspace.chat import LARGEST_KL, REQUESTS, ChatReading, own_answers

from . import made


def editor(context: int = 512) -> Editor:
    model = tiny.llama(max_position_embeddings=context)
    return Editor(
        model, tiny.tokenizer(chat=True), EditSettings(preset="fast", step=3.0, text=tiny.TEXT)
    )


def test_an_unedited_model_has_not_moved() -> None:
    answers = own_answers(editor())
    assert answers is not None
    assert answers.read() == ChatReading(kl=0.0, same_first_token=1.0, requests=REQUESTS)


def test_edits_move_it_and_taking_them_out_brings_it_back() -> None:
    live = editor()
    answers = own_answers(live)
    assert answers is not None
    live.edit_turn([Record(p, t) for p, t in tiny.FACTS])
    moved = answers.read()
    assert 0 < moved.kl <= LARGEST_KL
    assert moved.same_first_token <= 1
    late = own_answers(live)  # begun with edits in force: still against the unedited model
    assert late is not None
    assert late.read().kl == pytest.approx(moved.kl, rel=1e-5)
    live.reset()
    assert answers.read() == ChatReading(0.0, 1.0, REQUESTS)


def test_the_reading_is_that_of_the_whole_model() -> None:
    """Against a slow reference: every answer alone, through the whole model, in float64."""
    live = editor()
    asked = bundled_requests("anchor")
    chosen = [asked[len(asked) * k // REQUESTS] for k in range(REQUESTS)]
    answers = own_answers(live)
    assert answers is not None
    ids = [live.encoder.prompt(r.question) for r in chosen]
    said = [greedy(live, prompt) for prompt in ids]
    before = [spread(live, p, a) for p, a in zip(ids, said, strict=True)]
    live.edit_turn([Record(p, t) for p, t in tiny.FACTS])
    now = [spread(live, p, a) for p, a in zip(ids, said, strict=True)]
    rows = torch.cat([(a.exp() * (a - b)).sum(-1) for a, b in zip(before, now, strict=True)])
    same = [bool(a[0].argmax() == b[0].argmax()) for a, b in zip(before, now, strict=True)]
    reading = answers.read()
    assert reading.kl == pytest.approx(float(rows.mean()), rel=1e-4)
    assert reading.same_first_token == pytest.approx(sum(same) / len(same))


@torch.no_grad()
def greedy(live: Editor, prompt: list[int], limit: int = 16) -> list[int]:
    said: list[int] = []
    while len(said) < limit:
        token = int(live.model(input_ids=torch.tensor([[*prompt, *said]])).logits[0, -1].argmax())
        if token == live.tokenizer.eos_token_id:
            break
        said.append(token)
    return said


@torch.no_grad()
def spread(live: Editor, prompt: list[int], said: list[int]) -> torch.Tensor:
    logits = live.model(input_ids=torch.tensor([[*prompt, *said[:-1]]])).logits[0]
    return logits[len(prompt) - 1 :].double().log_softmax(-1)


def test_a_context_without_room_gives_no_reading() -> None:
    assert own_answers(editor(context=24)) is None


def test_a_turn_acknowledged_in_chat_form_carries_it_and_its_journal_does_not(
    tmp_path: Path,
) -> None:
    loaded = tiny.llama(max_position_embeddings=512), tiny.tokenizer(chat=True)
    workspace = made.make(tmp_path, loaded=loaded, form="chat")
    done = workspace.edit_turn(made.records(0, 3))
    assert done.chat is not None
    assert done.chat.kl > 0
    assert "chat" not in (tmp_path / "ws" / "journal.jsonl").read_text().replace("chat-", "")
    workspace.close()


def test_in_raw_form_there_is_none(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    assert workspace.edit_turn(made.records(0, 3)).chat is None
    workspace.close()


def test_it_is_said_in_words() -> None:
    reading = ChatReading(kl=0.1234, same_first_token=0.75, requests=12)
    assert str(reading) == (
        "on 12 things that no edit is about the chat moved by a KL of 0.12; 9 of 12 answers begin as before"
    )
