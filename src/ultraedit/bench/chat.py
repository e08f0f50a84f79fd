"""The chat measure in a benchmark or an evaluation: whether it is wanted, and how it is told of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ultraedit.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ultraedit.data.record import Record
    from ultraedit.evaluation.chat.measure import ChatMeasure, Recall
    from ultraedit.evaluation.chat.scores import ChatScores
    from ultraedit.evaluation.chat.unedited import UneditedChat
    from ultraedit.evaluation.scorer import Scorer

Say = Callable[[str], None]
MOST_EDITS = 60
"""Edits that are asked about in each way, at most."""


def make_measure(
    wanted: bool | None,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    form: str,
    generate: int,
    seed: int,
    scorer: Scorer | None = None,
) -> ChatMeasure | None:
    """The chat measure of a live model, None where it is not wanted.

    Args:
        wanted: None wants it where the form is chat.
        model: the live model.
        tokenizer: its tokenizer.
        form: the form in which the records are asked.
        generate: records asked in free generation, at most.
        seed: draws the edits that are asked about.
        scorer: a teacher-forced pass to share.

    Returns:
        The measure, with every bundled request.

    Raises:
        ConfigError: where it is wanted of a model without a chat template.
    """
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.chat.protocol import ChatProtocol

    if not (form == "chat" if wanted is None else wanted):
        return None
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            "--chat measures answers in the chat template, and this tokenizer has none; leave it out."
        )
    protocol = ChatProtocol(edits=min(generate, MOST_EDITS), seed=seed)
    return ChatMeasure(model, tokenizer, protocol, scorer=scorer)


def ask_unedited(measure: ChatMeasure, records: Sequence[Record], say: Say) -> UneditedChat:
    """`ChatMeasure.unedited`, told of as it goes on."""
    told = _Told("asking the unedited model", measure.answers(records), say)
    return measure.unedited(records, on_answers=told)


def ask_edited(
    measure: ChatMeasure,
    before: UneditedChat,
    records: Sequence[Record],
    say: Say,
    *,
    newest: Sequence[Record],
    recall: Recall | None = None,
) -> ChatScores:
    """`ChatMeasure.edited`, told of as it goes on."""
    told = _Told("asking the edited model", measure.answers(records), say)
    return measure.edited(before, records, newest=newest, recall=recall, on_answers=told)


class _Told:
    """Says how many of the chat's answers are there."""

    def __init__(self, what: str, total: int, say: Say) -> None:
        self._what, self._total, self._say = what, total, say
        self._done = 0
        self(0)

    def __call__(self, more: int) -> None:
        self._done += more
        self._say(f"{self._what} in chat: {self._done:,} of {self._total:,} answers")
