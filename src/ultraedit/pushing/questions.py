"""What a server is asked after a push, and whether its answers are the workspace's.

The words need not be the same to the letter: two programs add in another order, so that a tie between two tokens may
fall either way, and every word behind it then differs.  An answer agrees where the workspace's own model finds no
token of it much less likely than its first choice at that place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ultraedit.data.record import Record
from ultraedit.data.requests import bundled_requests, spread
from ultraedit.editing.editor import Editor
from ultraedit.pushing.asking import Asker, Heard

Group = Literal["recent", "old", "unrelated"]

TOKENS = 16
"""Length to which answers are compared."""
TIE = 0.5
"""Nats by which a token may be less likely than the first choice and still be taken for a tie."""
OTHERWISE = 0.2
"""Share of a group's answers that may be others: the rounding of an adapter or of a quantised base."""
APART = 0.5
"""Nats by which the log probabilities of the same words may differ, on average over a group."""


@dataclass(frozen=True)
class Question:
    """One prompt, and what the workspace's model answers."""

    group: Group
    prompt: str
    ids: tuple[int, ...]
    answer: str
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Agreement:
    """How a group of questions was answered."""

    asked: int
    agreed: int
    apart: float | None
    """Mean difference of the log probabilities where the words were the same; None where the server tells none."""
    first: str
    """The first question that was answered otherwise, with both answers; "" where none was."""

    @property
    def holds(self) -> bool:
        """Whether the answers are the workspace's."""
        allowed = int(self.asked * OTHERWISE)
        near = self.apart is None or self.apart <= APART
        return self.agreed >= self.asked - allowed and near


class Answers:
    """What the live model answers, and how likely it finds the answers of others."""

    def __init__(self, editor: Editor) -> None:
        """
        Args:
            editor: The live model, at the state that is pushed.
        """
        from ultraedit.evaluation.scorer import ModelScorer
        from ultraedit.model.text import PromptEncoder

        self._editor = editor
        self._encoder = PromptEncoder(editor.tokenizer, editor.form)
        self._scorer = ModelScorer(editor.model)

    def questions(self, group: Group, prompts: Sequence[str]) -> list[Question]:
        """The prompts with this model's answers, in the weights of now."""
        from ultraedit.evaluation.text import TokenPair
        from ultraedit.model.generate import as_text, greedy_ids, stop_token_ids

        e = self._editor
        room = e.context - TOKENS
        ids = [tuple(self._encoder.prompt(prompt)) for prompt in prompts]
        kept = [i for i, one in enumerate(ids) if len(one) <= room]
        stops = stop_token_ids(e.model, e.tokenizer)
        given = greedy_ids(e.model, [list(ids[i]) for i in kept], TOKENS, stops)
        told = [(i, tokens) for i, tokens in zip(kept, given, strict=True) if tokens]
        scores = self._scorer.score([TokenPair(ids[i], tuple(tokens)) for i, tokens in told])
        likely = {i: tuple(s.logprobs.tolist()) for (i, _), s in zip(told, scores, strict=True)}
        return [
            Question(group, prompts[i], ids[i], as_text(e.tokenizer, tokens), likely.get(i, ()))
            for i, tokens in zip(kept, given, strict=True)
        ]

    def compare(self, asker: Asker, questions: Iterable[Question]) -> dict[str, Agreement]:
        """Ask a server, and tell for each group how many answers are this model's.

        Raises ServerError where it does not answer.
        """
        heard = [(question, asker.ask(question.ids, TOKENS)) for question in questions]
        groups: dict[str, list[tuple[Question, Heard]]] = {}
        for question, answer in heard:
            groups.setdefault(question.group, []).append((question, answer))
        return {group: self._agreement(pairs) for group, pairs in groups.items()}

    def _agreement(self, pairs: Sequence[tuple[Question, Heard]]) -> Agreement:
        agreed, first = 0, ""
        gaps: list[float] = []
        for question, heard in pairs:
            same = _bare(heard.text) == _bare(question.answer)
            if same:
                gaps += [
                    abs(a - b) for a, b in zip(question.logprobs, heard.logprobs, strict=False)
                ]
            if same or self._ties(question, heard.text):
                agreed += 1
            elif not first:
                first = (
                    f'"{question.prompt[:80]}" is answered "{_bare(heard.text)[:80]}" and not '
                    f'"{question.answer[:80]}"'
                )
        apart = sum(gaps) / len(gaps) if gaps else None
        return Agreement(len(pairs), agreed, apart, first)

    def _ties(self, question: Question, text: str) -> bool:
        """Whether every token of a text is nearly this model's first choice at its place."""
        import torch

        from ultraedit.evaluation.text import TokenPair

        encoded = self._editor.tokenizer(text.rstrip("\ufffd"), add_special_tokens=False)
        tokens = tuple(encoded["input_ids"])  # type: ignore[arg-type]
        if not tokens:
            return False
        # the last token may be half of one that was cut off
        tokens = tokens[: max(len(tokens) - 1, 1)]
        (score,) = self._scorer.score([TokenPair(question.ids, tokens)], states=True)
        assert score.states is not None
        every = self._scorer.logprobs(score.states)
        best = every.max(-1).values
        return bool(torch.all(best - score.logprobs <= TIE))


def prompts(records: Sequence[Record], count: int) -> dict[Group, list[str]]:
    """What is asked: the newest edits, older ones at even distances, and questions about other things.

    Args:
        records: The edits in force, oldest first.
        count: Of each group, at most.
    """
    older = records[:-count]
    some = min(len(older), count)
    others = [r for r in bundled_requests() if r.kind == "fact" and len(r.messages) == 1]
    return {
        "recent": [r.prompt for r in records[-count:]],
        "old": [older[i * len(older) // some].prompt for i in range(some)],
        "unrelated": [request.question for request in spread(others, count)],
    }


def _bare(text: str) -> str:
    """Without what a cut through a character leaves, and blanks at the ends."""
    return text.rstrip("\ufffd").strip()
