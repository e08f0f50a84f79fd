"""Tensor files of a workspace (states, low-rank pairs, calibration) and digests of tensors.  safetensors only."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ultraedit.editing.state import (
    EditorState,
    calibration_from_tensors,
    calibration_tensors,
    statistics_from_tensors,
    statistics_tensors,
)
from ultraedit.editing.turn import Calibration, Turn
from ultraedit.errors import WorkspaceError
from ultraedit.model.weights import EditedWeight

_SHIFT, _STATISTICS = "shift/", "statistics/"


@dataclass(frozen=True)
class Pair:
    """One module's update by one turn: delta = left' @ right, row i of both belonging to edit `owner[i]`."""

    module: str
    owner: Int[Tensor, " n"]
    """0-based position in the turn."""
    left: Float[Tensor, "n d_in"]
    right: Float[Tensor, "n d_out"]


def digest(tensor: Tensor) -> str:
    """sha256 over dtype, shape and bytes (little-endian, row by row)."""
    value = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{value.dtype} {tuple(value.shape)} ".encode())
    found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def digest_all(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over the sorted names and digests of several tensors."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(f"{name} {digest(tensors[name])}\n".encode())
    return found.hexdigest()


def originals_digest(weights: Sequence[EditedWeight]) -> str:
    """Digest of the base model's edited tensors."""
    return digest_all({w.name: w.original for w in weights})


def live_digest(weights: Sequence[EditedWeight]) -> str:
    """The same of the weights as they are now: equal to `originals_digest` when nothing is edited."""
    return digest_all({w.name: w.parameter.data for w in weights})


def state_digests(state: EditorState) -> tuple[dict[str, str], str]:
    """Digest of each module's shift, and of the statistics."""
    shifts = {name: digest(shift) for name, shift in state.shifts.items()}
    return shifts, digest_all(statistics_tensors(state.statistics))


def save_state(path: Path, state: EditorState) -> None:
    tensors = {_SHIFT + name: shift for name, shift in state.shifts.items()}
    tensors |= {
        _STATISTICS + name: value for name, value in statistics_tensors(state.statistics).items()
    }
    tensors["counters"] = torch.tensor([state.edits, state.turns], dtype=torch.int64)
    _save(path, tensors)


def load_state(path: Path, device: torch.device | str = "cpu") -> EditorState:
    tensors = _load(path, device)
    try:
        shifts = {n.removeprefix(_SHIFT): t for n, t in tensors.items() if n.startswith(_SHIFT)}
        statistics = statistics_from_tensors(
            {
                n.removeprefix(_STATISTICS): t
                for n, t in tensors.items()
                if n.startswith(_STATISTICS)
            }
        )
        edits, turns = tensors["counters"].tolist()
    except (KeyError, ValueError) as error:
        raise WorkspaceError(f"'{path}' is damaged: it lacks {error}.") from error
    return EditorState(shifts, statistics, edits, turns)


def load_shifts(path: Path) -> dict[str, Tensor]:
    """Only the shifts of a state, by module."""
    tensors = _load(path, "cpu")
    return {n.removeprefix(_SHIFT): t for n, t in tensors.items() if n.startswith(_SHIFT)}


def save_pairs(path: Path, turn: Turn, modules: Sequence[str]) -> None:
    """A turn's low-rank updates and the edit each row belongs to."""
    tensors = {"owner": turn.owner.to(torch.int64)}
    for module, update in zip(modules, turn.updates, strict=True):
        tensors[f"left/{module}"] = update.left
        tensors[f"right/{module}"] = update.right
    _save(path, tensors)


def load_pairs(path: Path, modules: Sequence[str]) -> list[Pair]:
    tensors = _load(path, "cpu")
    try:
        return [
            Pair(m, tensors["owner"], tensors[f"left/{m}"], tensors[f"right/{m}"]) for m in modules
        ]
    except KeyError as error:
        raise WorkspaceError(f"'{path}' is damaged: it lacks {error}.") from error


def save_calibration(path: Path, calibration: Calibration) -> None:
    _save(path, calibration_tensors(calibration))


def load_calibration(path: Path, device: torch.device | str = "cpu") -> Calibration:
    try:
        return calibration_from_tensors(_load(path, device))
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
