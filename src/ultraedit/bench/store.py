"""What a run leaves on disk, so that it can go on after a kill: one state file, replaced at each checkpoint.

The state file (safetensors) holds the edited model's shifts, the method's statistics and, in its metadata, everything
measured so far; the scores of each checkpoint lie beside it as Parquet, written first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ultraedit.bench.schedule import slug
from ultraedit.editing.snapshot import Snapshot
from ultraedit.errors import ConfigError
from ultraedit.evaluation.evaluation import Evaluation, QuestionScores
from ultraedit.evaluation.files import read_scores, write_scores
from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.schema import Run
from ultraedit.io.atomic import new_file, write_text
from ultraedit.methods.base import State

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TurnPoint:
    """One turn, as it is recorded."""

    edits: int
    """Edits of the stream done after it."""
    seconds: float
    """Spent editing so far; evaluation and saving are not counted."""
    edits_per_second: float
    """Of this turn."""
    resident_bytes: int
    learned: int
    """Edits of the turn whose answer tokens were all the first choice right after it."""
    probability_before: float
    """Mean over the turn of the probability of the whole answer; likewise after."""
    probability_after: float
    shift_norms: dict[str, float]
    """Module -> Frobenius norm of W - W0."""
    refused: str | None = None
    """Why the turn was refused; its edits are then not in the model."""


@dataclass
class RunProgress:
    """What a run has measured so far."""

    position: int = 0
    """Edits of the stream done (refused turns included)."""
    turns: list[TurnPoint] = field(default_factory=list)
    figures: dict[int, dict[str, Figure]] = field(default_factory=dict)
    """Checkpoint -> its figures."""


_PROGRESS = TypeAdapter(RunProgress)
_FIGURES = TypeAdapter(tuple[str, dict[str, Figure]])


class BenchStore:
    """The files of one benchmark in `folder`.  `fingerprint` names its settings and data: state of another
    fingerprint is refused."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def scores_path(self, label: str, order: int, edits: int) -> Path:
        return self.folder / "scores" / f"{slug(label)}.order{order}.{edits}.parquet"

    def save(
        self,
        label: str,
        order: int,
        progress: RunProgress,
        state: Snapshot,
        rows: Sequence[QuestionScores],
    ) -> None:
        """Keep a checkpoint: its rows, then the state, each whole or not at all."""
        from safetensors.torch import save_file

        self.save_rows(label, order, progress.position, rows)
        tensors = {f"shift/{name}": t.contiguous().cpu() for name, t in state.shifts.items()}
        statistics = state.statistics.state_dict()
        tensors |= {f"statistics/{name}": t.contiguous().cpu() for name, t in statistics.items()}
        notes = {
            "fingerprint": self.fingerprint,
            "progress": _PROGRESS.dump_json(progress).decode(),
            "edits": str(state.edits),
            "turns": str(state.turns),
        }
        self._state(label, order).parent.mkdir(parents=True, exist_ok=True)
        with new_file(self._state(label, order)) as made:
            save_file(tensors, made, metadata=notes)

    def save_rows(self, label: str, order: int, edits: int, rows: Sequence[QuestionScores]) -> None:
        """Keep a checkpoint's rows only."""
        path = self.scores_path(label, order, edits)
        write_scores(path, rows, preset=label, order=order, edits=edits)

    def load(
        self, label: str, order: int, load_state_dict: Callable[[dict[str, Tensor]], State]
    ) -> tuple[RunProgress, Snapshot] | None:
        """The last checkpoint of a run, None where there is none; `load_state_dict` is of the editor's engine.

        Raises ConfigError where it is damaged.
        """
        from safetensors import SafetensorError, safe_open

        path = self._state(label, order)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                notes = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._own(path, notes.get("fingerprint"))
            progress = _PROGRESS.validate_json(notes["progress"])
            edits, turns = int(notes["edits"]), int(notes["turns"])
            statistics = load_state_dict(_under("statistics/", tensors))
        except (SafetensorError, ValidationError, KeyError, ValueError) as error:
            raise ConfigError(
                f"the saved state '{path}' is damaged; delete it to run this part again."
            ) from error
        return progress, Snapshot(_under("shift/", tensors), statistics, edits, turns)

    def evaluations(self, label: str, order: int, progress: RunProgress) -> list[Evaluation]:
        """The evaluations of the checkpoints done, read back."""
        return [
            Evaluation(edits, read_scores(self.scores_path(label, order, edits)), figures)
            for edits, figures in sorted(progress.figures.items())
        ]

    def finish(self, label: str, order: int, run: Run, turns: Sequence[TurnPoint]) -> None:
        """Keep a run that is done; its state is no longer needed."""
        kept = {
            "fingerprint": self.fingerprint,
            "run": run.model_dump(mode="json"),
            "turns": [asdict(t) for t in turns],
        }
        write_text(self._done(label, order), json.dumps(kept, ensure_ascii=False))
        self._state(label, order).unlink(missing_ok=True)

    def finished(self, label: str, order: int) -> tuple[Run, list[TurnPoint]] | None:
        """A run that is done, None where it is not.  Raises ConfigError where its file is damaged."""
        path = self._done(label, order)
        if not path.exists():
            return None
        try:
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            self._own(path, kept["fingerprint"])
            return Run.model_validate_json(json.dumps(kept["run"])), [
                TurnPoint(**t) for t in kept["turns"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"the saved run '{path}' is damaged; delete it to run this part again."
            ) from error

    def remembered(self, name: str, make: Callable[[], dict[str, Figure]]) -> dict[str, Figure]:
        """Figures that are made once in a benchmark, however often it is started."""
        path = self.folder / "state" / f"{name}.json"
        if path.exists():
            try:
                fingerprint, figures = _FIGURES.validate_json(path.read_bytes())
            except ValidationError as error:
                raise ConfigError(f"'{path}' is damaged; delete it to measure it again.") from error
            self._own(path, fingerprint)
            return figures
        made = make()
        write_text(path, _FIGURES.dump_json((self.fingerprint, made)).decode())
        return made

    def clear(self) -> None:
        """Remove what only a resume needs."""
        folder = self.folder / "state"
        if folder.is_dir():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def _own(self, path: Path, fingerprint: str | None) -> None:
        if fingerprint != self.fingerprint:
            raise ConfigError(
                f"'{path}' belongs to other settings or other data; choose another --out, or pass --overwrite."
            )

    def _state(self, label: str, order: int) -> Path:
        return self.folder / "state" / f"{slug(label)}.order{order}.safetensors"

    def _done(self, label: str, order: int) -> Path:
        return self.folder / "state" / f"{slug(label)}.order{order}.json"


def _under(prefix: str, tensors: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
