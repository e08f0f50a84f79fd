"""What MEMIT and AlphaEdit share: the key at the subject's last token, and the value found by gradient descent.

Source: MEMIT (arXiv 2210.07229).  For each edit a shift of the last edited block's output at the subject's last token
is optimised until the answer follows; what is missing there is spread over the edited maps, from the lowest up, each
solved in closed form.  Left out: the divergence term on "SUBJECT is a".  Contexts are pieces of ordinary text and not
text of the model's own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.core.metric import DenseMetric
from ultraedit.core.solve import DualSolver, Update
from ultraedit.data.bundled import anchor_text
from ultraedit.data.record import Record
from ultraedit.errors import ConfigError, DataError
from ultraedit.methods.base import (
    Calibration,
    EncodedTurn,
    Engine,
    Ids,
    LiveModel,
    Method,
    Needs,
    State,
    TurnResult,
    require_positive,
    require_undivided,
    shifts_or_nothing,
)
from ultraedit.methods.scores import measure
from ultraedit.methods.training import token_losses, whole_batch
from ultraedit.model.batch import Batch

CONTEXT_TOKENS = 8
GROUP = 25
"""Edits whose values are sought together; they do not influence each other."""


def needs_of_located(memory: str) -> Needs:
    """What every such method needs, and what this one keeps."""
    return Needs(
        training="Gradient descent on one hidden vector an edit, and a pass over ordinary text beforehand.",
        subject="Yes: the key is read at the subject's last token.",
        memory=memory,
    )


@dataclass(frozen=True)
class Located(Method):
    """An edit that needs to know where its subject stands.  A record's rephrases are not written."""

    value_steps: int = 25
    value_rate: float = 0.5
    """Learning rate of Adam, for hidden states of norm sqrt(width)."""
    value_decay: float = 0.5
    """Weight of the squared size of the shift, as a share of the hidden state's."""
    value_clamp: float = 0.75
    """Largest size of the shift, as a share of the hidden state's."""
    contexts: int = 2
    """Pieces of ordinary text that the prompt is also put behind (raw form only)."""

    def check(self) -> None:
        require_positive(
            self.name, value_steps=self.value_steps, value_rate=self.value_rate,
            value_clamp=self.value_clamp,
        )  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One edit's pairs, first the bare prompt and then behind each context, and the subject's last token in each."""

    pairs: list[Ids]
    columns: list[int]


class LocatedEngine(Engine):
    """Finds values, and writes them into one map after the other, the lowest first."""

    def __init__(self, live: LiveModel, method: Located) -> None:
        self.live = live
        self.method: Located = method
        self.micro_batch = live.micro_batch
        top = max(w.projection.block for w in live.weights)
        if top == live.structure.depth - 1 or any(
            w.projection.role != "down" for w in live.weights
        ):
            raise ConfigError(
                f"{method.name} edits down maps below the last block, and these modules are not: name others."
            )
        require_undivided(method.name, live.weights)
        self._top_block = top
        self._above = live.runner.above(top)
        # the pieces that prompts are put behind: of the bundled text always, so that a workspace opens with the same
        self._pieces = _windows(live, anchor_text())[: method.contexts]
        self.calibration = live.calibration or _measure(live, _windows(live, live.text))

    @property
    def text_covariance(self) -> list[Float[Tensor, "d_in d_in"]]:
        """Second moment of each edited map's keys on ordinary text, per token."""
        metrics = self.calibration.metrics
        return [m.matrix for m in metrics if isinstance(m, DenseMetric)]

    @abstractmethod
    def system(self, index: int, keys: Float[Tensor, "n d_in"], state: State) -> DualSolver:
        """The system that writes this turn's keys into the edited map `index`."""

    @abstractmethod
    def remember(self, state: State, keys: Sequence[Float[Tensor, "n d_in"]]) -> State:
        """The state after a turn with these keys, one entry a map."""

    def run(self, turn: EncodedTurn, state: State, put_off: bool = False) -> TurnResult:
        places = [
            self.place(turn.records[e], turn.pairs[turn.owners.index(e)]) for e in turn.written
        ]
        groups = [places[k : k + GROUP] for k in range(0, len(places), GROUP)]
        weights = self.live.weights
        before, _, _ = measure(self.live, turn, self.micro_batch)
        listener = self.live.runner.listener
        self._above.listener = listener
        updates: list[Update] = []
        keys: list[Tensor] = []
        moved: dict[str, float] = {}
        with shifts_or_nothing(weights):
            wanted = torch.cat([self.value(group) for group in groups])
            parts = []
            for group in groups:
                batch, _, _ = whole_batch(
                    [p for x in group for p in x.pairs], self.live.runner.device
                )
                parts.append((group, batch, *self.live.runner.trunks([batch])))
            for i, w in enumerate(weights):
                found = [self.look(group, batch, trunk, i) for group, batch, trunk in parts]
                keys.append(torch.cat([k for k, _ in found]))
                hidden = torch.cat([h for _, h in found])
                missing = (wanted.to(hidden.device) - hidden) / (len(weights) - i)
                missing = missing.to(w.map.device)
                updates.append(self.system(i, keys[i], state).solve(missing))
                moved[w.name] = w.commit(updates[i]) / w.norm
                listener.pause()
            after, learned, stops = measure(self.live, turn, self.micro_batch)
        state = self.remember(state, keys)
        owner = torch.tensor(turn.written)
        return TurnResult(owner, tuple(updates), state, before, after, learned, stops, moved)

    def place(self, record: Record, pair: Ids) -> Place:
        """Raises DataError for a record without a subject in its prompt."""
        name = f'the edit of "{record.prompt}"' if record.line is None else f"line {record.line}"
        if not record.subject or not record.subject.strip():
            raise DataError(
                f"{name} has no subject, and {self.method.name} needs one: leave the baseline out, or use data "
                "that names subjects."
            )
        tokenizer = self.live.tokenizer
        prompt, target = pair
        subject = record.subject.strip().casefold()
        said = (str(tokenizer.decode(prompt[: k + 1])) for k in range(len(prompt)))
        at = next((k for k, text in enumerate(said) if subject in text.casefold()), None)
        if at is None:
            raise DataError(
                f'{name}: its prompt does not name its subject "{record.subject}", and {self.method.name} looks for '
                "it there."
            )
        start = list(tokenizer("")["input_ids"])  # type: ignore[arg-type]
        pieces: list[list[int]] = [[]]
        if self.live.encoder.form == "raw":
            pieces += [w[:CONTEXT_TOKENS] for w in self._pieces]
        pairs = [([*start, *piece, *prompt[len(start) :]], target) for piece in pieces]
        return Place(pairs, [at + len(piece) for piece in pieces])

    def value(self, places: Sequence[Place]) -> Float[Tensor, "edits d"]:
        """What the last edited block should give at the subject's last token."""
        batch, tokens, owners = whole_batch(
            [p for x in places for p in x.pairs], self.live.runner.device
        )
        edit = torch.tensor([e for e, x in enumerate(places) for _ in x.pairs])
        columns = _columns(places, batch.mask.shape[1])
        rows = torch.arange(len(edit))
        (trunk,) = self._above.trunks([batch])
        first = torch.tensor([i for i in range(len(edit)) if i == 0 or edit[i] != edit[i - 1]])
        start = trunk[rows[first], columns[first]].float()
        size = start.norm(dim=-1, keepdim=True)
        unit = size / start.shape[-1] ** 0.5  # Adam's rate is a share of a typical entry
        shift = torch.zeros_like(start, requires_grad=True)
        optimiser = torch.optim.Adam([shift], lr=self.method.value_rate)
        share = 1 / torch.bincount(edit[owners.cpu()])[edit[owners.cpu()]].to(trunk.device)
        for _ in range(self.method.value_steps):
            with torch.enable_grad():
                moved = trunk.clone()
                here = trunk[rows, columns].float() + (shift * unit)[edit]
                moved[rows, columns] = here.to(trunk.dtype)
                loss = (token_losses(self._above, batch, tokens, moved) * share).sum()
                relative = (shift * unit / size).square().sum()
                (loss + self.method.value_decay * relative).backward()
            optimiser.step()
            optimiser.zero_grad()
            with torch.no_grad():
                share_of = (shift * unit).norm(dim=-1, keepdim=True) / size
                shift *= (self.method.value_clamp / share_of.clamp(min=1e-12)).clamp(max=1.0)
            del loss, relative, moved, here
            self._above.listener.pause()
        return start + (shift * unit).detach()

    def look(
        self, places: Sequence[Place], batch: Batch, trunk: Tensor, index: int
    ) -> tuple[Float[Tensor, "n d_in"], Float[Tensor, "n d"]]:
        """Per edit: the input of edited map `index` at the subject's last token, averaged over contexts, and what the
        last edited block gives there behind no context.  The lower maps are those already written."""
        given, hidden = self.live.runner.look(batch, trunk, index, self._top_block)
        rows, columns = torch.arange(given.shape[0]), _columns(places, given.shape[1])
        inputs, outputs = given[rows, columns].float(), hidden[rows, columns].float()
        counts = [len(x.pairs) for x in places]
        keys = torch.stack([part.mean(0) for part in inputs.split(counts)])
        return keys, torch.stack([part[0] for part in outputs.split(counts)])


def _windows(live: LiveModel, text: str) -> list[list[int]]:
    ids = list(live.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])  # type: ignore[arg-type]
    windows = [ids[k : k + 128] for k in range(0, len(ids), 128)]
    return [w for w in windows if len(w) > 1]


def _measure(live: LiveModel, windows: Sequence[list[int]]) -> Calibration:
    """The text's second moment of each edited map's keys, per token, in the place of a metric."""
    tokens = sum(len(w) for w in windows)
    found = [torch.zeros(w.projection.d_in, w.projection.d_in) for w in live.weights]
    for batch in live.runner.text_keys(windows, 8):
        for total, (keys, _) in zip(found, batch, strict=True):
            total += (keys.T @ keys).cpu() / tokens
    moments = tuple(
        DenseMetric(c.to(w.map.device)) for c, w in zip(found, live.weights, strict=True)
    )
    return Calibration((1.0,) * len(found), moments)


def _columns(places: Sequence[Place], width: int) -> Tensor:
    """Column of the subject's last token in every row of a batch `width` columns wide, rows ending together."""
    return torch.tensor(
        [
            width - (len(prompt) + len(target) - 1) + c
            for x in places
            for (prompt, target), c in zip(x.pairs, x.columns, strict=True)
        ]
    )
