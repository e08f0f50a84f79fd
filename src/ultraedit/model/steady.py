"""What must hold while a model is run, whatever its owner did with it or around it since.

Dropout would make answers differ from run to run; gradient checkpointing would drop the caches; autocast would hand
half-precision keys to an fp32 solve; inference mode has no gradients.  All of it is put aside for one call, and put
back as it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def steady(model: nn.Module) -> Iterator[None]:
    """Run a model in eval mode, frozen, uncompiled and with outputs that have names, in ordinary fp32 surroundings.

    A user's settings, inside the model and outside it, are as before on any exit.
    """
    modules = list(model.modules())
    configs = {id(c): c for m in modules if (c := getattr(m, "config", None)) is not None}
    tuples = [c for c in configs.values() if getattr(c, "return_dict", None) is False]
    compiled = [m for m in modules if m._compiled_call_impl is not None]
    asides: list[tuple[Any, str, Any, Any]] = [  # object, attribute, as it was, as it is run
        *((m, "training", True, False) for m in modules if m.training),
        *((m, "_compiled_call_impl", m._compiled_call_impl, None) for m in compiled),
        *((p, "requires_grad", True, False) for p in model.parameters() if p.requires_grad),
        *((c, "return_dict", False, True) for c in tuples),
    ]
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    with ExitStack() as around:
        around.enter_context(torch.inference_mode(False))
        for kind in {"cpu", *(p.device.type for p in model.parameters())} - {"meta"}:
            if torch.is_autocast_enabled(kind):
                around.enter_context(torch.autocast(kind, enabled=False))
        if device.type != "cpu":
            around.enter_context(torch.device("cpu"))
        try:
            torch.set_default_dtype(torch.float32)
            for owner, name, _, run in asides:
                setattr(owner, name, run)
            yield
        finally:
            torch.set_default_dtype(dtype)
            for owner, name, before, _ in asides:
                setattr(owner, name, before)
