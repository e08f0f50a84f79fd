"""Measures ordinary text on the unedited model: how large outputs are, and which key directions text uses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from transformers import PreTrainedTokenizerBase

from ultraedit.core.metric import DenseMetric, SketchMetric, identity_metric
from ultraedit.errors import ConfigError
from ultraedit.methods.base import Calibration, unmeasured_maps
from ultraedit.methods.calibration_cache import digest, keep, place, read
from ultraedit.model.context import context_length
from ultraedit.model.stack import Stack
from ultraedit.model.trace import text_keys
from ultraedit.model.weights import EditedWeight, originals

WORTH_LOOKING = 10**10
"""Tokens times parameters below which measuring takes less time than looking for what was kept."""
WORTH_KEEPING = 1.0
"""Seconds of measuring from which the result is kept in the user's cache."""

WINDOW = 128
BATCH = 8


@runtime_checkable  # so that the tests can check the argument types
class Measured(Protocol):
    """What is asked of a method here."""

    measures_text: ClassVar[bool]

    @property
    def metric_weight(self) -> float | None: ...


def calibrate(
    stack: Stack,
    weights: Sequence[EditedWeight],
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    method: Measured,
) -> Calibration:
    """Run `text` through the unedited weights, where the method asks for it.

    A run that takes long is kept in the user's cache and not repeated.  Raises ConfigError for a text of less than
    two tokens.
    """
    # verbose=False: no warning that the whole text is longer than the context, because it is run in windows
    encoded = tokenizer(text, add_special_tokens=False, verbose=False)
    ids = list(encoded["input_ids"])  # type: ignore[arg-type]
    window = min(WINDOW, context_length(stack.model, tokenizer))
    windows = [ids[k : k + window] for k in range(0, len(ids), window)]
    windows = [w for w in windows if len(w) > 1]
    if not windows:
        raise ConfigError(
            f'text "{text[:60]}" is too short to measure; give some paragraphs of ordinary text.'
        )
    if not method.measures_text:
        return measure(stack, weights, windows, method)
    tokens = sum(len(w) for w in windows)
    if tokens * sum(p.numel() for p in stack.model.parameters()) < WORTH_LOOKING:
        return measure(stack, weights, windows, method)
    with originals(weights):
        settings = (method.metric_weight or 0.0, method.metric_weight is not None)
        name = digest(stack.model, weights, windows, settings)
    file = place(name)
    kept = None if file is None else read(file, weights, stack.device)
    if kept is not None:
        return kept
    started = time.perf_counter()
    made = measure(stack, weights, windows, method)
    if file is not None and time.perf_counter() - started > WORTH_KEEPING:
        keep(file, made)
    return made


def measure(
    stack: Stack, weights: Sequence[EditedWeight], windows: Sequence[list[int]], method: Measured
) -> Calibration:
    """`calibrate` for tokens.  Keys are put into the metric batch by batch and never held all at once."""
    if not method.measures_text:
        return unmeasured_maps(len(weights))
    tokens = sum(len(w) for w in windows)
    scale = ((method.metric_weight or 0.0) / tokens) ** 0.5
    metrics: list[DenseMetric | SketchMetric] = []
    if method.metric_weight is not None:
        metrics = [identity_metric(w.projection.d_in, w.shift.device) for w in weights]
    squares = [0.0 for _ in weights]
    with originals(weights):
        for batch in text_keys(stack, weights, windows, BATCH):
            for i, (keys, size) in enumerate(batch):
                squares[i] += size
                if metrics:
                    metrics[i] = metrics[i].absorb(keys * scale)
    norms = tuple((s / (tokens - len(windows))) ** 0.5 for s in squares)
    return Calibration(norms, tuple(m.cut() if isinstance(m, SketchMetric) else m for m in metrics))
