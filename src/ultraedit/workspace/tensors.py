"""Tensor files of a workspace (states, low-rank pairs, calibration) and digests of tensors.  safetensors only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ultraedit.core.statistics import Moments, PublishedMoments
from ultraedit.editing.snapshot import (
    Snapshot,
    calibration_from_tensors,
    calibration_tensors,
)
from ultraedit.errors import WorkspaceError
from ultraedit.io.digest import sha256_text, tensor_digest
from ultraedit.methods.base import Calibration, State, TurnResult
from ultraedit.methods.paper import PaperState, published_tensors
from ultraedit.methods.ultraedit import UltraEditState, moments_tensors
from ultraedit.model.weights import EditedWeight

_SHIFT, _STATISTICS = "shift/", "statistics/"


@dataclass(frozen=True)
class LowRankUpdate:
    """One module's update by one turn: delta = left' @ right, row i of both belonging to edit `owner[i]`."""

    module: str
    owner: Int[Tensor, " n"]
    """0-based position in the turn."""
    left: Float[Tensor, "n d_in"]
    right: Float[Tensor, "n d_out"]


def digest(tensor: Tensor) -> str:
    """sha256 over dtype, shape and bytes (little-endian, row by row)."""
    return tensor_digest(tensor, f"{tensor.dtype} {tuple(tensor.shape)} ")


def digest_all(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the sorted names and digests of several tensors."""
    return sha256_text("".join(f"{name} {digest(tensors[name])}\n" for name in sorted(tensors)))


def originals_digest(weights: Sequence[EditedWeight]) -> str:
    """Digest of the base model's edited tensors."""
    return digest_all({w.name: w.original for w in weights})


def live_digest(weights: Sequence[EditedWeight]) -> str:
    """The same of the weights as they are now: equal to `originals_digest` when nothing is edited."""
    return digest_all({w.name: w.matrix for w in weights})


@dataclass(frozen=True)
class StateFile:
    """A state as it lies in its file."""

    shifts: dict[str, Tensor]
    statistics: dict[str, Tensor]
    edits: int
    turns: int

    def digests(self) -> tuple[dict[str, str], str]:
        """Digest of each module's shift, and of the statistics."""
        return {name: digest(s) for name, s in self.shifts.items()}, digest_all(self.statistics)


def state_file(state: Snapshot) -> StateFile:
    """A state as its file will hold it."""
    return StateFile(state.shifts, _statistics(state.statistics), state.edits, state.turns)


def _statistics(state: State) -> dict[str, Tensor]:
    """Format 1 keeps room for the statistics of both kinds of method, and that of the other kind is blank."""
    tensors = state.state_dict()
    if isinstance(state, UltraEditState):
        for shape in state.shapes:
            tensors |= published_tensors(PublishedMoments.empty(sum(shape)), shape)
    elif isinstance(state, PaperState):
        tensors |= moments_tensors([Moments.empty(d_out) for _, d_out in state.shapes])
    return tensors


def state_digests(state: Snapshot) -> tuple[dict[str, str], str]:
    """Digest of each module's shift, and of the statistics."""
    return state_file(state).digests()


def save_state(path: Path, state: Snapshot) -> None:
    file = state_file(state)
    tensors = {_SHIFT + name: shift for name, shift in file.shifts.items()}
    tensors |= {_STATISTICS + name: value for name, value in file.statistics.items()}
    tensors["counters"] = torch.tensor([file.edits, file.turns], dtype=torch.int64)
    _save(path, tensors)


def load_state(path: Path, device: torch.device | str = "cpu") -> StateFile:
    """Raises WorkspaceError where the file is damaged."""
    tensors = _load(path, device)
    try:
        edits, turns = tensors["counters"].tolist()
    except (KeyError, ValueError) as error:
        raise WorkspaceError(f"'{path}' is damaged: it lacks {error}.") from error
    return StateFile(_under(_SHIFT, tensors), _under(_STATISTICS, tensors), edits, turns)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def load_shifts(path: Path) -> dict[str, Tensor]:
    """Only the shifts of a state, by module."""
    return _under(_SHIFT, _load(path, "cpu"))


def save_pairs(path: Path, turn: TurnResult, modules: Sequence[str]) -> None:
    """A turn's low-rank updates and the edit each row belongs to."""
    tensors = {"owner": turn.owner.to(torch.int64)}
    for module, update in zip(modules, turn.updates, strict=True):
        tensors[f"left/{module}"] = update.left
        tensors[f"right/{module}"] = update.right
    _save(path, tensors)


def load_pairs(path: Path, modules: Sequence[str]) -> list[LowRankUpdate]:
    tensors = _load(path, "cpu")
    try:
        return [
            LowRankUpdate(m, tensors["owner"], tensors[f"left/{m}"], tensors[f"right/{m}"])
            for m in modules
        ]
    except KeyError as error:
        raise WorkspaceError(f"'{path}' is damaged: it lacks {error}.") from error


def save_calibration(path: Path, calibration: Calibration) -> None:
    _save(path, calibration_tensors(calibration))


def load_calibration(path: Path) -> Calibration:
    try:
        return calibration_from_tensors(_load(path, "cpu"))
    except KeyError as error:
        raise WorkspaceError(f"'{path}' is damaged: it lacks {error}.") from error


def _save(path: Path, tensors: dict[str, Tensor]) -> None:
    """Raises OSError where the disk refuses, whatever the writer underneath calls it."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in whole.items():
        if tensor.untyped_storage().nbytes() != tensor.nbytes:
            whole[name] = (
                tensor.clone()
            )  # part of a larger tensor, which safetensors would not save
    try:
        save_file(whole, path)
    except SafetensorError as error:
        raise OSError(0, str(error)) from error


def _load(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    """Raises FileNotFoundError where there is no file, and WorkspaceError for one that is no safetensors."""
    try:
        return load_file(path, device=str(device))
    except FileNotFoundError:
        raise
    except (OSError, SafetensorError) as error:  # a folder in the file's place, a disk that fails
        raise WorkspaceError(f"'{path}' is damaged or cannot be read: {error}.") from error
