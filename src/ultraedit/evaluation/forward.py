"""A causal model cut in two, blocks and output head, so that logits are made only where they are
read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ultraedit.errors import DataError, ModelError
from ultraedit.model.context import context_length
from ultraedit.model.find import decoder_of
from ultraedit.model.replace import head_logits
from ultraedit.model.runner.rows import ids_device, run_decoder
from ultraedit.model.steady import steady

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from transformers import PreTrainedModel

_CHECK_IDS = (0, 1, 2)


class Forward:
    """Runs the blocks of a live Hugging Face causal model, and its head on chosen rows.

    Reads the model at every call, so edits made in between are seen.  Raises ModelError if blocks
    and head put together do not give the model's own logits (checked once, on three tokens).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.blocks: Any = decoder_of(model)
        if model.get_output_embeddings() is None or self.blocks is model:
            raise ModelError(
                f"{type(model).__name__} has no separate output head, so it cannot be scored: "
                "load it with AutoModelForCausalLM."
            )
        self.context: int = context_length(model)
        with steady(model):
            self._check()

    @property
    def device(self) -> torch.device:
        """Where the embedding lies: inputs go there."""
        return ids_device(self.model)

    def run(
        self, ids: Int[Tensor, "batch length"], mask: Int[Tensor, "batch total"], cache: Any = None
    ) -> tuple[Float[Tensor, "batch length width"], Any]:
        """Last hidden states (after the final norm) and the key-value cache.

        `mask` covers the cached tokens too; positions count its ones, so padding on either side
        changes nothing. `cache` is one of `model.keeps`, filled as it goes, or `None`.
        """
        return run_decoder(self.model, ids, mask, cache), cache

    def logits(self, states: Float[Tensor, "rows width"]) -> Float[Tensor, "rows vocab"]:
        """The model's logits of some last hidden states, in the model's own dtype."""
        return head_logits(self.model, states)

    def fits(self, length: int, what: str) -> None:
        """Raises DataError when `length` tokens are more than the model's context."""
        if length > self.context:
            raise DataError(
                f"{what} has {length} tokens, more than the model's context of {self.context}: "
                "shorten it."
            )

    @torch.no_grad()
    def _check(self) -> None:
        ids = torch.tensor([_CHECK_IDS])
        states, _ = self.run(ids, torch.ones_like(ids))
        ours = self.logits(states[0]).float()
        theirs = self.model(input_ids=ids.to(self.device), use_cache=False).logits[0].float()
        if not torch.allclose(ours.to(theirs.device), theirs, rtol=1e-2, atol=1e-2):
            raise ModelError(
                f"the logits of {type(self.model).__name__} are not its output head applied to "
                "its last hidden state, so it cannot be scored at answer positions only."
            )
