"""The one record every data set is read into.  Knows nothing of files or models."""

from __future__ import annotations

from dataclasses import dataclass

from ultraedit import arguments
from ultraedit.errors import DataError


def prompt_key(prompt: str) -> str:
    """What prompts share that are one to the model: blanks at the end are left out, because the answer brings its own.

    Any other white space is a token that tells prompts apart.
    """
    return prompt.rstrip(" ")


@dataclass(frozen=True, slots=True)
class Probe:
    """A question asked of the edited model, with the answer the data set gives, if it gives one."""

    prompt: str
    """The question, as it is put to the model."""
    answer: str | None = None
    """The right answer; None where the data set gives none, so that it is only compared before and after."""
    kind: str = ""
    """Where it came from, in the data set's own words (`Relation_Specificity`, `mhop`, ...)."""

    def __post_init__(self) -> None:
        """Raises DataError for a field of the wrong kind."""
        arguments.text(self.prompt, "a probe's prompt")
        if self.answer is not None:
            arguments.text(self.answer, "a probe's answer")


@dataclass(frozen=True, slots=True)
class Record:
    """One edit and everything that can be asked about it.

    `prompt` and `target` are what is written into the model; every other field is only for
    evaluation (`rephrases` are never trained on unless the caller passes them to `Editor.edit` on
    purpose).  One text in `rephrases` or `personas` is one wording and not its letters.
    """

    prompt: str
    """The question or beginning that the edit is written behind."""
    target: str
    """The answer that the model shall give."""
    id: str = ""
    """Stable name of the edit; readers set `<file stem>:<line>` where the data has no id of its
    own.
    """
    subject: str | None = None
    """What the fact is about, in the prompt's own words; only located baselines need it."""
    rephrases: tuple[str, ...] = ()
    """Other wordings of the prompt, with the same answer."""
    wordings: tuple[str, ...] = ()
    """Further wordings of the prompt that are written with it, always.  `rephrases` are another's words, to test what
    was written; these are made for writing (`Editor.prepare`)."""
    locality: tuple[Probe, ...] = ()
    """Unrelated prompts whose answers must not change."""
    personas: tuple[str, ...] = ()
    """The edit prompt asked in another person's style; the answer is `target`."""
    portability: tuple[Probe, ...] = ()
    """Multi-hop, reasoning and alias questions with their own answers."""
    old: str | None = None
    """The answer before the edit, where the data names it (probability success compares with it).
    """
    sentences: tuple[str, ...] = ()
    """The answer as a sentence that holds the target, in the model's own words: one for the prompt, then one for each
    of `wordings`, then of `rephrases`.  What is missing is made by the model; none is written where answers are bare
    (`voice`)."""
    line: int | None = None
    """1-based line (or row) number in the file it came from."""

    def __post_init__(self) -> None:
        """Raises DataError for a field of the wrong kind: later it would fail far from its cause."""
        arguments.text(self.prompt, "a record's prompt")
        arguments.text(self.target, "a record's target")
        arguments.text(self.id, "a record's id")
        for name in ("subject", "old"):
            if getattr(self, name) is not None:
                arguments.text(getattr(self, name), f"a record's {name}")
        for name in ("rephrases", "wordings", "personas", "sentences"):
            found = arguments.texts(getattr(self, name), f"a record's {name}")
            object.__setattr__(self, name, found)
        if len(self.sentences) > len(self.written(with_rephrases=True)):
            raise DataError(
                f'a record has {len(self.sentences)} sentences, for its prompt "{self.prompt[:60]}", '
                f"{len(self.wordings)} wordings and {len(self.rephrases)} rephrases; give one for each, the prompt's "
                "first."
            )
        for sentence in self.sentences:
            if self.target.strip() not in sentence:
                raise DataError(
                    f'the sentence "{sentence[:80]}" does not hold the target "{self.target[:60]}"; write the target '
                    "in it word for word."
                )
        for name in ("locality", "portability"):
            object.__setattr__(self, name, _probes(getattr(self, name), f"a record's {name}"))
        if self.line is not None and (not isinstance(self.line, int) or self.line < 0):
            raise DataError(
                f"a record's line must be a number, found {arguments.quoted(self.line)}."
            )

    def written(self, with_rephrases: bool) -> tuple[str, ...]:
        """The wordings that are written, the prompt first.

        Args:
            with_rephrases: Whether the rephrases are written too.

        Returns:
            Prompts, in the order of `sentences`.
        """
        return (self.prompt, *self.wordings, *(self.rephrases if with_rephrases else ()))


def _probes(value: object, name: str) -> tuple[Probe, ...]:
    if value is None:
        return ()
    listed = tuple(value) if isinstance(value, tuple | list) else None
    if listed is None or not all(isinstance(probe, Probe) for probe in listed):
        raise DataError(f"{name} must be a list of Probes, found {arguments.quoted(value)}.")
    return listed
