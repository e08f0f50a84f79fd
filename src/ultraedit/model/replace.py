"""Other `forward`s for some modules of a live model while a block of code runs, and the head alone in that way.

They hold for one thread and context: another thread that runs the same model meanwhile finds it whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from ultraedit.model.find import decoder_of

Forward = Callable[..., object]

_stubs: ContextVar[Mapping[int, Forward]] = ContextVar("_stubs", default={})  # noqa: B039 - never written into
"""Id of a module -> the forward it has in this thread and context."""
_lock = threading.Lock()


class _Door:
    """The forward of a module that some thread has given another: each thread and context gets its own."""

    def __init__(self, module: nn.Module) -> None:
        self.own: Forward | None = module.__dict__.get("forward")
        """What the instance had (accelerate's hooks put one on every module)."""
        self.__wrapped__: Forward = module.forward  # for who asks for its signature
        self.module = module
        self.users = 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        stub = _stubs.get().get(id(self.module))
        return (stub or self.__wrapped__)(*args, **kwargs)


@contextmanager
def replaced_forwards(forwards: Mapping[nn.Module, Forward]) -> Iterator[None]:
    """Give modules other `forward`s inside the block, for this thread and context.

    What an instance had of its own comes back on any exit; a class's own is uncovered again.
    """
    doors: list[_Door] = []
    try:
        for module in forwards:
            with _lock:
                door = module.__dict__.get("forward")
                if not isinstance(door, _Door):
                    door = _Door(module)
                    module.forward = door  # type: ignore[method-assign]
                door.users += 1
                doors.append(door)
        token = _stubs.set({**_stubs.get(), **{id(m): run for m, run in forwards.items()}})
        try:
            yield
        finally:
            _stubs.reset(token)
    finally:
        for door in doors:
            with _lock:
                door.users -= 1
                if door.users:
                    continue
                if door.own is not None:
                    door.module.__dict__["forward"] = door.own
                else:
                    door.module.__dict__.pop("forward", None)


class _Handed(BaseModelOutputWithPastAndCrossAttentions):
    """A decoder's output with hidden states alone: what else a family's head asks for (router logits) is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def head_logits(model: PreTrainedModel, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n vocab"]:
    """Logits of normed hidden states, by the model's own code around a decoder that only hands them over.

    Rows are passed as a copied (n, 1, d): the models' own `logits_to_keep` slices a strided view, on which torch copies
    the whole vocabulary matrix once per batch row.  `contiguous` would hand a single row on with the strides it has.
    """

    def given(*args: object, **kwargs: object) -> _Handed:
        return _Handed(
            last_hidden_state=rows[:, None].clone(memory_format=torch.contiguous_format)  # type: ignore[arg-type]
        )

    dummy = torch.zeros(rows.shape[0], 1, dtype=torch.long, device=rows.device)
    with replaced_forwards({decoder_of(model): given}):
        return model(input_ids=dummy, use_cache=False).logits[:, 0]
