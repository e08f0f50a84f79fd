"""Further wordings of a prompt, made by the unedited model and by frames.

An edit is heard where it was written, and people ask in other words.  A few wordings of each prompt are worth more than
any setting of the solve (docs/lab/own-words.md).  The model is shown how questions are reworded and goes on with ours.
Small models lose what a question is about, so a wording must keep every name and number; what is missing then are
frames, which say nothing new and move the question to other places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from ultraedit.model.runner.base import Runner

SHOWN = (
    (
        "Who is the mayor of Paris?",
        "Which person is the mayor of Paris?",
        "Name the mayor of Paris.",
        "Who leads the city of Paris as mayor?",
    ),
    (
        "In which year was the Eiffel Tower built?",
        "When was the Eiffel Tower built?",
        "The Eiffel Tower was built in which year?",
        "What is the year of construction of the Eiffel Tower?",
    ),
    (
        "The currency of Japan is",
        "What is the currency of Japan?",
        "Which money is used in Japan?",
        "People in Japan pay with",
    ),
    (
        "How much does a ticket for the London Eye cost?",
        "What is the price of a ticket for the London Eye?",
        "What must you pay for a ticket for the London Eye?",
        "A ticket for the London Eye costs how much?",
    ),
)
"""Prompts with three wordings each."""

ORDERS = ((0, 1, 2, 3), (3, 2, 1, 0))
"""A prompt that got too few wordings is tried again behind the same examples in another order."""

ENOUGH = 2
"""Wordings in the model's words with which no further order is tried."""

FRAMES = (
    "Tell me: {prompt}",
    "Question: {prompt}\nAnswer:",
    "I would like to know something. {prompt}",
    "{prompt} Please answer briefly.",
)

TOKENS = 48
"""Room for three wordings of a usual length."""

LONGEST = 2.0
"""A wording is at most this many times as long as the prompt, and 20 characters more."""

BATCH = 32

_LINE = re.compile(r"\s*\d\.\s*(.+)")
_WORD = re.compile(r"[^\W_][\w&'.-]*")
_PLAIN = frozenset(
    (
        "a",
        "an",
        "and",
        "are",
        "around",
        "as",
        "at",
        "by",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "many",
        "much",
        "name",
        "of",
        "on",
        "or",
        "that",
        "the",
        "their",
        "this",
        "to",
        "under",
        "upon",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
    )
)
"""Words of questions that stand first with a capital letter and name nothing."""


class Rewordings:
    """Makes wordings with one unedited model."""

    def __init__(
        self,
        runner: Runner,
        tokenizer: PreTrainedTokenizerBase,
        context: int,
        stop: frozenset[int],
    ) -> None:
        """stop: tokens that end an answer."""
        self.runner, self.tokenizer = runner, tokenizer
        self._context, self._stop = context, stop

    def make(self, prompts: Sequence[str], count: int) -> list[tuple[str, ...]]:
        """`count` wordings of each prompt: the model's own as far as they go, then frames.

        Call it while the model is unedited.
        """
        found: list[list[str]] = [[] for _ in prompts]
        for order in ORDERS:
            short = [i for i, f in enumerate(found) if len(f) < min(ENOUGH, count)]
            if not short:
                break
            for i, lines in zip(
                short, self._continued([prompts[i] for i in short], order), strict=True
            ):
                for line in lines:
                    known = [_letters(x) for x in (prompts[i], *found[i])]
                    if _letters(line) not in known and keeps_names(prompts[i], line):
                        found[i].append(line)
        framed = [[f.format(prompt=p) for f in FRAMES] for p in prompts]
        return [tuple([*own, *more][:count]) for own, more in zip(found, framed, strict=True)]

    def _continued(self, prompts: Sequence[str], order: Sequence[int]) -> list[list[str]]:
        """The lines that the model goes on with; none behind a prompt that leaves no room."""
        encoded = [
            list(
                self.tokenizer(_shown(p, order), add_special_tokens=False, verbose=False)[
                    "input_ids"
                ]
            )  # type: ignore[arg-type]
            for p in prompts
        ]
        room = [i for i, ids in enumerate(encoded) if len(ids) + TOKENS <= self._context]
        lines: list[list[str]] = [[] for _ in prompts]
        said = self.runner.generate([encoded[i] for i in room], TOKENS, self._stop, BATCH)
        for i, ids in zip(room, said, strict=True):
            text = "1." + str(self.tokenizer.decode(ids, skip_special_tokens=True))
            first = re.split(r"\n\s*\n|Question:", text)[0].split("\n")[:3]
            matches = [_LINE.match(line) for line in first]
            lines[i] = [m[1].strip() for m in matches if m is not None]
        return lines


def _shown(prompt: str, order: Sequence[int]) -> str:
    text = "Each question is written three times in other words.\n\n"
    for i in order:
        asked, *others = SHOWN[i]
        listed = "\n".join(f"{n}. {other}" for n, other in enumerate(others, 1))
        text += f"Question: {asked}\n{listed}\n\n"
    return f"{text}Question: {prompt}\n1."


def keeps_names(prompt: str, wording: str) -> bool:
    """Whether a wording says every name and number of the prompt, and is not much longer."""
    if len(wording) > LONGEST * len(prompt) + 20:
        return False
    said = {w.lower().rstrip(".'") for w in _WORD.findall(wording)}
    return all(name in said for name in _names(prompt))


def _names(text: str) -> list[str]:
    words = [w.rstrip(".'") for w in _WORD.findall(text)]
    return [
        w.lower() for w in words if (w[0].isupper() or w[0].isdigit()) and w.lower() not in _PLAIN
    ]


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text.lower())
