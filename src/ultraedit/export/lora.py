"""From shifts to an adapter that has been measured: the rank is chosen, the file is read back and scored."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ultraedit.data.record import Record
from ultraedit.errors import ConfigError
from ultraedit.export.adapter import Adapter, read_peft, write_peft
from ultraedit.export.edited import Edited, require_edits
from ultraedit.export.factors import FULL, RANKS, Factors, factorise, full_rank, useful_ranks
from ultraedit.export.gguf_adapter import gguf_names, read_gguf, write_gguf
from ultraedit.export.measure import Efficacy, ScoredEdits

KEEP = 0.9
"""Share of the live model's right answers that an adapter must keep, if nothing else is said."""
LEAST_ENERGY = 0.8
"""Ranks that keep less of some module are not tried: on the real model 0.89 was seen to give the same answers, and
0.74 a half of them."""

Rank = int | Literal["full"]


@dataclass(frozen=True)
class AdapterSettings:
    """How an adapter is cut, and when it is handed out."""

    rank: Rank | None = None
    """One of `factors.RANKS`, or "full", which cuts nothing off; None takes the smallest at which the sampled answers
    are all the live model's."""
    keep: float = KEEP
    """Share of the live model's right answers below which an adapter is refused."""
    force: bool = False
    """Write one that keeps less."""


@dataclass(frozen=True)
class AdapterReport:
    """What an exported adapter keeps, measured on the file."""

    rank: int
    energy: dict[str, float]
    """Module -> ||S_r||^2 / ||S||^2."""
    efficacy: Efficacy
    tried: dict[int, int]
    """Rank -> answers that were the same, for the ranks looked at before the file was written; empty where the rank
    was given."""
    keep: float
    """The share that was asked for."""

    @property
    def enough(self) -> bool:
        return self.efficacy.kept >= self.keep


def write_lora(
    edited: Edited,
    folder: Path,
    records: Sequence[Record],
    settings: AdapterSettings,
) -> AdapterReport:
    """Write a PEFT adapter into `folder`, which exists.  See `_measured` for the errors."""

    def write(adapter: Adapter) -> Adapter:
        write_peft(folder, adapter, edited)
        return read_peft(folder)

    return _measured(edited, records, write, settings)


def write_gguf_lora(
    edited: Edited,
    file: Path,
    records: Sequence[Record],
    settings: AdapterSettings,
) -> AdapterReport:
    """Write a llama.cpp adapter.  Raises ModelError for a family it cannot carry; else as `_measured`."""
    names = [w.name for w in edited.weights]
    gguf_names(edited.model, names)  # refuse before the decomposition, which may take minutes

    def write(adapter: Adapter) -> Adapter:
        write_gguf(file, adapter, edited.model, edited.base)
        try:
            return read_gguf(file, edited.model, names)
        except ValueError as error:  # numpy's tofile says nothing of a full disk: the file is short
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error

    return _measured(edited, records, write, settings)


def _measured(
    edited: Edited,
    records: Sequence[Record],
    write: Callable[[Adapter], Adapter],
    settings: AdapterSettings,
) -> AdapterReport:
    """Choose the rank if none is given, write, read back, score.

    Raises ConfigError for a rank no server takes, where there are no edits to score, and, without `force`, where
    less than `keep` of the live model's right answers survive.
    """
    _check(edited, records, settings)
    rank = settings.rank
    probe = ScoredEdits(edited, records)
    if probe.live == 0 and not settings.force:
        raise ConfigError(
            f"the edited model itself answers none of its {len(records)} edits right, so there is nothing an adapter "
            "could keep; pass --force to write it all the same."
        )
    factors = [
        factorise(w.name, w.shift.T if w.transposed else w.shift, whole=rank == FULL)
        for w in edited.weights
    ]
    tried: dict[int, int] = {}
    if rank is None:
        chosen = _same_answers(edited, probe, factors, tried)
    else:
        chosen = full_rank(factors) if rank == FULL else rank
    adapter = _adapter(edited, factors, chosen)
    written = write(adapter)
    if not written.equals(adapter):
        raise OSError(errno.EIO, "the adapter read back is not the one written")
    report = AdapterReport(
        chosen,
        {f.name: f.kept(chosen) for f in factors},
        probe.score(written),
        tried,
        settings.keep,
    )
    if not report.enough and not settings.force:
        raise ConfigError(_refusal(report))
    return report


def _same_answers(
    edited: Edited, probe: ScoredEdits, factors: Sequence[Factors], tried: dict[int, int]
) -> int:
    """The smallest accepted rank at which every answer asked for is the live model's, or else the largest.

    Notes in `tried` how many were at each rank it looked at.
    """
    *below, last = useful_ranks(factors)
    for rank in below:
        if min(f.kept(rank) for f in factors) >= LEAST_ENERGY:
            tried[rank] = probe.same(_adapter(edited, factors, rank))
            if tried[rank] == probe.asked:
                return rank
    tried[last] = probe.same(_adapter(edited, factors, last))
    return last


def _adapter(edited: Edited, factors: Sequence[Factors], rank: int) -> Adapter:
    """In the model's own dtype, which is what servers cast an adapter to."""
    dtypes = {w.name: w.original.dtype for w in edited.weights}
    return Adapter(rank, {f.name: f.at(rank, dtypes[f.name]) for f in factors})


def _check(edited: Edited, records: Sequence[Record], settings: AdapterSettings) -> None:
    require_edits(edited)
    experts = next((w.name for w in edited.weights if w.experts), None)
    if experts is not None:
        raise ConfigError(
            f"'{experts}' holds a layer's experts, for which servers' adapters differ from one to the next, so none is "
            "written; use --to merged or --to delta."
        )
    rank, keep = settings.rank, settings.keep
    if rank is not None and rank not in (*RANKS, FULL):
        raise ConfigError(
            f"rank {rank} is not one that servers accept; use one of {', '.join(map(str, RANKS))}, or {FULL}."
        )
    if not 0 <= keep <= 1:
        raise ConfigError(f"keep is {keep}; it is a share of the right answers, between 0 and 1.")
    if not records:
        raise ConfigError(
            "an adapter is measured before it is handed out, and there are no edits to measure it on; name them "
            "with --edits FILE."
        )


def _refusal(report: AdapterReport) -> str:
    e = report.efficacy
    text = (
        f"at rank {report.rank} the adapter keeps {e.both} of the {e.live} edits that the edited model answers right "
        f"({e.kept:.0%}, and {report.keep:.0%} are asked for) and {min(report.energy.values()):.0%} of the energy of "
        "the least kept module; "
    )
    if report.rank < RANKS[-1] and not report.tried:
        return text + "give a higher --rank, --to merged or --to delta, or pass --force."
    return text + "no accepted rank keeps enough: use --to merged or --to delta, or pass --force."
