"""The unedited model's answers, asked once and kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation.chat.protocol import ChatProtocol, Way

if TYPE_CHECKING:
    from torch import Tensor

ANSWERS, STATES = "unedited.json", "unedited.safetensors"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Said:
    """One greedy answer."""

    text: str
    ids: tuple[int, ...]
    """The generated tokens, an end token not included."""
    ended: bool
    """The model ended by itself, not by the limit on tokens."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One edit asked in one way."""

    way: Way
    edit: str
    """The edit's key (`evaluation.questions.key`)."""


@dataclass(frozen=True, slots=True)
class UneditedChat:
    """What the unedited model says to every request, and to the edits that will be asked about.

    The exact KL needs its whole distribution at each token of its own answers.  Kept are its last
    hidden states there, not the distributions: the output head is never edited, so that it gives
    them back exactly from `width` numbers a token in place of `vocabulary`.
    """

    protocol: ChatProtocol
    answers: dict[str, Said]
    """Request's id -> answer."""
    edits: dict[Asked, Said]
    states: dict[str, Tensor]
    """Request's id -> last hidden states [tokens, width] where its answer's tokens are predicted,
    its end token included."""
    head: Tensor
    """Log-probabilities that the head gave for the first request's states: an edited head shows."""

    def save(self, folder: str | Path) -> None:
        """Write `unedited.json` and `unedited.safetensors` into a folder.

        Args:
            folder: made where it is missing; files of these names are replaced.

        Raises:
            ConfigError: where the folder cannot be written.
        """
        from safetensors.torch import save_file

        to = Path(folder)
        plain = {
            "version": VERSION,
            "protocol": asdict(self.protocol),
            "answers": {name: asdict(said) for name, said in self.answers.items()},
            "edits": [
                {"way": at.way, "edit": at.edit, **asdict(said)} for at, said in self.edits.items()
            ],
        }
        tensors = {f"states.{name}": states.contiguous() for name, states in self.states.items()}
        try:
            to.mkdir(parents=True, exist_ok=True)
            save_file(tensors | {"head": self.head.contiguous()}, to / STATES)
            (to / ANSWERS).write_text(
                json.dumps(plain, ensure_ascii=False, indent=1), encoding="utf-8"
            )
        except OSError as error:
            raise ConfigError(
                f"'{to}' cannot be written ({error}); name another folder."
            ) from error

    @classmethod
    def load(cls, folder: str | Path) -> UneditedChat:
        """Read back what `save` wrote.

        Args:
            folder: one that `save` was given.

        Returns:
            The same answers and states.

        Raises:
            DataError: where the folder does not hold them whole.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        at = Path(folder)
        try:
            plain = json.loads((at / ANSWERS).read_text(encoding="utf-8"))
            tensors = load_file(at / STATES)
            if plain["version"] != VERSION:
                raise DataError(
                    f"'{at}' holds version {plain['version']} of the unedited answers, and this "
                    f"program reads {VERSION}: measure the unedited model again."
                )
            return cls(
                protocol=ChatProtocol(**plain["protocol"]),
                answers={name: _said(row) for name, row in plain["answers"].items()},
                edits={Asked(row["way"], row["edit"]): _said(row) for row in plain["edits"]},
                states={name: tensors[f"states.{name}"] for name in plain["answers"]},
                head=tensors["head"],
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise DataError(
                f"'{at}' does not hold the unedited model's answers ({error}); measure them again."
            ) from error


def _said(row: dict[str, object]) -> Said:
    return Said(str(row["text"]), tuple(row["ids"]), bool(row["ended"]))  # type: ignore[arg-type]
