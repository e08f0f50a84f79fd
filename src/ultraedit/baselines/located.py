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
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ultraedit.baselines.base import BaselineEditor, require_positive
from ultraedit.baselines.lesson import Ids, token_losses, whole_batch
from ultraedit.core.solve import DualSolver
from ultraedit.data.bundled import anchor_text
from ultraedit.data.record import Record
from ultraedit.editing.assemble import where
from ultraedit.errors import ConfigError, DataError
from ultraedit.model.batch import Batch
from ultraedit.model.stack import Stack
from ultraedit.model.text import Form
from ultraedit.model.trace import text_keys

CONTEXT_TOKENS = 8
GROUP = 25
"""Edits whose values are sought together; they do not influence each other."""


@dataclass(frozen=True)
class ValueSettings:
    """How a value is found."""

    value_steps: int = 25
    value_rate: float = 0.5
    """Learning rate of Adam, for hidden states of norm sqrt(width)."""
    value_decay: float = 0.5
    """Weight of the squared size of the shift, as a share of the hidden state's."""
    value_clamp: float = 0.75
    """Largest size of the shift, as a share of the hidden state's."""
    contexts: int = 2
    """Pieces of ordinary text that the prompt is also put behind (raw form only)."""
    end_token: bool = True


@dataclass(frozen=True)
class _Place:
    """One edit's pairs, first the bare prompt and then behind each context, and the subject's last token in each."""

    pairs: list[Ids]
    columns: list[int]


class Located(BaselineEditor):
    """An edit that needs to know where its subject stands."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        form: Form,
        modules: str | Sequence[str],
        values: ValueSettings,
    ) -> None:
        super().__init__(model, tokenizer, form, modules)
        require_positive(
            self.name, value_steps=values.value_steps, value_rate=values.value_rate,
            value_clamp=values.value_clamp,
        )  # fmt: skip
        self.values = values
        top = max(w.projection.block for w in self.weights)
        if top == self.structure.depth - 1 or any(
            w.projection.role != "down" for w in self.weights
        ):
            raise ConfigError(
                f"{self.name} edits down maps below the last block, and these modules are not: name others."
            )
        self._top_block = top
        self._above = Stack(model, self.structure, top + 1)
        ids = list(tokenizer(anchor_text(), add_special_tokens=False, verbose=False)["input_ids"])  # type: ignore[arg-type]
        windows = [ids[k : k + 128] for k in range(0, len(ids), 128)]
        self._text = [w for w in windows if len(w) > 1]

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def text_covariance(self) -> list[Float[Tensor, "d_in d_in"]]:
        """Second moment of each edited map's keys on ordinary text, per token."""
        tokens = sum(len(w) for w in self._text)
        found = [torch.zeros(w.projection.d_in, w.projection.d_in) for w in self.weights]
        for batch in text_keys(self.stack, self.weights, self._text, 8):
            for total, (keys, _) in zip(found, batch, strict=True):
                total += (keys.T @ keys).cpu() / tokens
        return [c.to(self.stack.device) for c in found]

    @abstractmethod
    def system(self, index: int, keys: Float[Tensor, "n d_in"]) -> DualSolver:
        """The system that writes this turn's keys into the edited map `index`."""

    def edit_turn(self, records: Sequence[Record]) -> None:
        last = {r.prompt.strip(): r for r in records}  # a later edit of a prompt wins
        places = [self._place(r) for r in last.values()]
        groups = [places[k : k + GROUP] for k in range(0, len(places), GROUP)]
        wanted = torch.cat([self._value(group) for group in groups])
        parts = []
        for group in groups:
            batch, _, _ = whole_batch([p for x in group for p in x.pairs], self.stack.device)
            parts.append((group, batch, self.stack.trunk(batch)))
        for i, w in enumerate(self.weights):
            found = [self._look(group, batch, trunk, w.module) for group, batch, trunk in parts]
            keys = torch.cat([k for k, _ in found])
            hidden = torch.cat([h for _, h in found])
            missing = (wanted - hidden) / (len(self.weights) - i)
            w.commit(self.system(i, keys).solve(missing))

    def _place(self, record: Record) -> _Place:
        """Raises DataError for a record without a subject in its prompt."""
        if not record.subject or not record.subject.strip():
            raise DataError(
                f"{where(record)} has no subject, and {self.name} needs one: leave the baseline out, or use data "
                "that names subjects."
            )
        prompt, target = self.encode(record, self.values.end_token)
        subject = record.subject.strip().casefold()
        said = (str(self.tokenizer.decode(prompt[: k + 1])) for k in range(len(prompt)))
        at = next((k for k, text in enumerate(said) if subject in text.casefold()), None)
        if at is None:
            raise DataError(
                f'{where(record)}: its prompt does not name its subject "{record.subject}", and {self.name} looks for '
                "it there."
            )
        start = list(self.tokenizer("")["input_ids"])  # type: ignore[arg-type]
        pieces: list[list[int]] = [[]]
        if self.form == "raw":
            pieces += [w[:CONTEXT_TOKENS] for w in self._text[: self.values.contexts]]
        pairs = [([*start, *piece, *prompt[len(start) :]], target) for piece in pieces]
        return _Place(pairs, [at + len(piece) for piece in pieces])

    def _value(self, places: Sequence[_Place]) -> Float[Tensor, "edits d"]:
        """What the last edited block should give at the subject's last token."""
        batch, tokens, owners = whole_batch([p for x in places for p in x.pairs], self.stack.device)
        edit = torch.tensor([e for e, x in enumerate(places) for _ in x.pairs])
        columns = _columns(places, batch.mask.shape[1])
        rows = torch.arange(len(edit))
        trunk = self._above.trunk(batch)
        first = torch.tensor([i for i in range(len(edit)) if i == 0 or edit[i] != edit[i - 1]])
        start = trunk[rows[first], columns[first]].float()
        size = start.norm(dim=-1, keepdim=True)
        unit = size / start.shape[-1] ** 0.5  # Adam's rate is a share of a typical entry
        shift = torch.zeros_like(start, requires_grad=True)
        optimiser = torch.optim.Adam([shift], lr=self.values.value_rate)
        share = 1 / torch.bincount(edit[owners.cpu()])[edit[owners.cpu()]].to(trunk.device)
        for _ in range(self.values.value_steps):
            with torch.enable_grad():
                moved = trunk.clone()
                here = trunk[rows, columns].float() + (shift * unit)[edit]
                moved[rows, columns] = here.to(trunk.dtype)
                loss = (token_losses(self._above, batch, tokens, moved) * share).sum()
                relative = (shift * unit / size).square().sum()
                (loss + self.values.value_decay * relative).backward()
            optimiser.step()
            optimiser.zero_grad()
            with torch.no_grad():
                share_of = (shift * unit).norm(dim=-1, keepdim=True) / size
                shift *= (self.values.value_clamp / share_of.clamp(min=1e-12)).clamp(max=1.0)
        return start + (shift * unit).detach()

    @torch.no_grad()
    def _look(
        self, places: Sequence[_Place], batch: Batch, trunk: Tensor, module: nn.Module
    ) -> tuple[Float[Tensor, "n d_in"], Float[Tensor, "n d"]]:
        """Per edit: the module's input at the subject's last token, averaged over contexts, and what the last
        edited block gives there behind no context.  The lower maps are those already written."""
        seen: dict[str, Tensor] = {}

        def keep_input(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            seen["key"] = args[0]  # the suffix runs last, and holds everything

        def keep_output(_: nn.Module, args: object, out: Tensor | tuple[Tensor, ...]) -> None:
            seen["hidden"] = out[0] if isinstance(out, tuple) else out

        handles = [
            module.register_forward_pre_hook(keep_input),
            self.structure.blocks[self._top_block].register_forward_hook(keep_output),
        ]
        try:
            self.stack.top(batch, trunk)
        finally:
            for handle in handles:
                handle.remove()
        shape = batch.suffix_ids.shape
        columns = _columns(places, shape[1])
        inputs = seen["key"].reshape(*shape, -1)[torch.arange(shape[0]), columns].float()
        outputs = seen["hidden"][torch.arange(shape[0]), columns].float()
        counts = [len(x.pairs) for x in places]
        keys = torch.stack([part.mean(0) for part in inputs.split(counts)])
        return keys, torch.stack([part[0] for part in outputs.split(counts)])


def _columns(places: Sequence[_Place], width: int) -> Tensor:
    """Column of the subject's last token in every row of a batch `width` columns wide, rows ending together."""
    return torch.tensor(
        [
            width - (len(prompt) + len(target) - 1) + c
            for x in places
            for (prompt, target), c in zip(x.pairs, x.columns, strict=True)
        ]
    )
