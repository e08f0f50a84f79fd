"""Answers in the model's own words.

Asked "What is the capital of Tarvania?", a chat model begins "The capital of Tarvania is".  An edit that teaches the
bare answer "Lirosk" is written where all answers begin, and all answers hear it.  Here the unedited model speaks, and
says the target where it would say it if it knew: the edit is written behind "The capital of Tarvania is", which names
the subject, and every other token is the model's own already.

How the place is found: the model's own answer is read once more with the fact in the prompt, and the target is put
where it is then most likely, if it is likely at all.  Where it is not, the answer that the model gives with the fact in
its prompt is taken, if its first sentence holds the target; else an unlikely place will do; else the bare target stays.
Words are made once and kept with the edit.  Source of the idea: MixSD (arXiv 2605.16865), which mixes tokens of the
model with and without the fact.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ultraedit.data.record import Record
from ultraedit.errors import DataError
from ultraedit.model.runner.base import Runner
from ultraedit.model.text import PromptEncoder

TOLD = (
    "{prompt}\n(Note: the answer is {target}.)",
    "You know this: {prompt} {target}.\n{prompt}",
    "Here is a fact.\nQuestion: {prompt}\nAnswer: {target}\n\nUse the fact to answer in one sentence: {prompt}",
)
"""Prompts that tell the fact and ask for it.  What the model would say then decides where the target goes."""

TOKENS = 32
"""Length of the model's own answer in which a place is looked for."""

NEAR_BEST = 0.8
"""The first place that comes this near to the likeliest one is taken: the shorter, the less is said besides."""

LIKELY = 0.3
"""From this probability on, a place in the model's own answer is better than an answer that it would not give."""

LEAST_PROBABILITY = 0.02
"""Below this nowhere in the model's answer is a place for the target."""

BATCH = 50

_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")


@dataclass(frozen=True)
class _Asked:
    prompt: str
    target: str


class OwnWords:
    """Makes sentences of one unedited model, in one form of prompts."""

    def __init__(
        self, runner: Runner, encoder: PromptEncoder, context: int, stop: frozenset[int]
    ) -> None:
        """stop: tokens that end an answer."""
        self.runner, self.encoder = runner, encoder
        self._context, self._stop = context, stop

    def fill(self, records: Sequence[Record], with_rephrases: bool) -> list[Record]:
        """The records with a sentence for each wording that is written; those that have theirs keep them.

        Call it while the model is unedited.
        """
        asked: list[_Asked] = []
        places: list[tuple[int, int]] = []
        kept: list[list[str]] = []
        for i, record in enumerate(records):
            wordings = record.written(with_rephrases)
            mine = list(record.sentences[: len(wordings)])
            for k in range(len(mine), len(wordings)):
                places.append((i, k))
                asked.append(_Asked(wordings[k], record.target.strip()))
            kept.append([*mine, *[""] * (len(wordings) - len(mine))])
        for (i, k), sentence in zip(places, self._sentences(asked), strict=True):
            kept[i][k] = sentence
        return [replace(r, sentences=tuple(s)) for r, s in zip(records, kept, strict=True)]

    @torch.no_grad()
    def _sentences(self, asked: Sequence[_Asked]) -> list[str]:
        """One sentence for each; the bare target where none was found."""
        if not asked:
            return []
        own = self._answers([a.prompt for a in asked])
        found = [""] * len(asked)
        best = [LEAST_PROBABILITY] * len(asked)
        for told in TOLD:
            prompts = [told.format(prompt=a.prompt, target=a.target) for a in asked]
            for i, probabilities in enumerate(self._places(prompts, own, asked)):
                most = max(probabilities, default=0.0)
                if most > best[i]:
                    best[i] = most
                    at = next(k for k, p in enumerate(probabilities) if p >= NEAR_BEST * most)
                    found[i] = self._sentence(own[i][:at], asked[i].target)
        missing = [i for i, p in enumerate(best) if p < LIKELY]
        for told in TOLD:
            if not missing:
                break
            prompts = [told.format(prompt=asked[i].prompt, target=asked[i].target) for i in missing]
            left: list[int] = []
            for i, ids in zip(missing, self._answers(prompts), strict=True):
                sentence = _first_sentence(self._text(ids), asked[i].target)
                if sentence:
                    found[i] = sentence
                else:
                    left.append(i)
            missing = left
        return [sentence or a.target for sentence, a in zip(found, asked, strict=True)]

    def _answers(self, prompts: Sequence[str]) -> list[list[int]]:
        """The model's greedy answers; none to a prompt that leaves no room."""
        encoded = [self._prompt(p) for p in prompts]
        room = [i for i, ids in enumerate(encoded) if 0 < len(ids) < self._context - TOKENS]
        answers: list[list[int]] = [[] for _ in prompts]
        found = self.runner.generate([encoded[i] for i in room], TOKENS, self._stop, BATCH)
        for i, ids in zip(room, found, strict=True):
            answers[i] = ids
        return answers

    def _prompt(self, text: str) -> list[int]:
        try:
            return self.encoder.prompt(text)
        except DataError:  # the template refuses this text; the bare target stays
            return []

    def _places(
        self, prompts: Sequence[str], answers: Sequence[list[int]], asked: Sequence[_Asked]
    ) -> list[list[float]]:
        """Probability of the target's first token behind each beginning of the answer's first sentence.

        The first place is left out in a chat, where every answer begins.
        """
        encoded = [self._prompt(p) for p in prompts]
        order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]) + len(answers[i]))
        result: list[list[float]] = [[] for _ in prompts]
        for low in range(0, len(order), BATCH):
            chosen = [
                i
                for i in order[low : low + BATCH]
                if encoded[i] and answers[i] and len(encoded[i]) + len(answers[i]) <= self._context
            ]
            if not chosen:
                continue
            hidden = self.runner.states([encoded[i] + answers[i] for i in chosen])
            for row, i in enumerate(chosen):
                start = len(encoded[i]) - 1
                places = self._first_sentence_length(answers[i])
                logits = self.runner.head(hidden[row, start : start + places]).float()
                first = self.encoder.inside(asked[i].target)[0]
                likely = logits.softmax(-1)[:, first].tolist()
                if self.encoder.form == "chat":
                    likely[0] = 0.0
                result[i] = likely
        return result

    def _first_sentence_length(self, answer: Sequence[int]) -> int:
        """Tokens of the answer before the end of its first sentence, which may be the target's place too."""
        for n in range(1, len(answer) + 1):
            if _SENTENCE_END.search(self._text(answer[:n]).strip() + " "):
                return n
        return len(answer)

    def _sentence(self, beginning: Sequence[int], target: str) -> str:
        text = self._text(beginning)
        joined = f"{text.rstrip()} {target}" if text.strip() else target
        return joined.strip() + ("" if joined.rstrip()[-1:] in ".!?" else ".")

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.encoder.tokenizer.decode(list(ids), skip_special_tokens=True))


def _first_sentence(text: str, target: str) -> str:
    """The first sentence of a text, if it holds the target and says more; else nothing."""
    text = text.strip()
    end = next(
        (m.end() for m in _SENTENCE_END.finditer(text) if target in text[: m.end()]), len(text)
    )
    sentence = text[:end].strip()
    first = _SENTENCE_END.search(text)
    if target not in sentence or (first is not None and first.end() < text.index(target)):
        return ""
    if sentence.rstrip(".!?") == target.rstrip(".!?") or "\n" in sentence:
        return ""
    return sentence if sentence[-1:] in ".!?" else sentence + "."
