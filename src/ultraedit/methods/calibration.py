"""Measures ordinary text on the unedited model: how large outputs are, and which key directions text uses."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from ultraedit.core.metric import DenseMetric, SketchMetric, identity_metric
from ultraedit.errors import ConfigError
from ultraedit.methods.base import Calibration, Ids, LiveModel, unmeasured_maps
from ultraedit.methods.calibration_cache import digest, keep, place, read
from ultraedit.methods.own_answers import TOKENS, answer_keys, own_answers, request_ids
from ultraedit.model.context import context_length
from ultraedit.model.runner.base import Runner
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

    @property
    def asked_own_weight(self) -> float:
        """Weight of the model's own answers in the metric; 0: they are not made."""
        ...


def calibrate(live: LiveModel, text: str, method: Measured) -> Calibration:
    """Run `text` through the unedited weights, where the method asks for it, and let the model answer everyday requests
    where it asks for that.

    A run that takes long is kept in the user's cache and not repeated.  Raises ConfigError for a text of less than
    two tokens.
    """
    # verbose=False: no warning that the whole text is longer than the context, because it is run in windows
    encoded = live.tokenizer(text, add_special_tokens=False, verbose=False)
    ids = list(encoded["input_ids"])  # type: ignore[arg-type]
    window = min(WINDOW, context_length(live.model, live.tokenizer))
    windows = [ids[k : k + window] for k in range(0, len(ids), window)]
    windows = [w for w in windows if len(w) > 1]
    if not windows:
        raise ConfigError(
            f'text "{text[:60]}" is too short to measure; give some paragraphs of ordinary text.'
        )
    requests = request_ids(live.encoder) if method.asked_own_weight else []
    if not method.measures_text:
        return unmeasured_maps(len(live.weights))
    tokens = sum(len(w) for w in windows) + sum(len(r) + TOKENS for r in requests)
    if tokens * sum(p.numel() for p in live.model.parameters()) < WORTH_LOOKING:
        return _measured(live, windows, requests, method)
    with originals(live.weights):
        settings = (
            method.metric_weight or 0.0,
            method.metric_weight is not None,
            method.asked_own_weight,
        )
        name = digest(live.model, live.weights, [*windows, *requests], settings)
    file = place(name)
    kept = None if file is None else read(file, live.weights, live.runner.device)
    if kept is not None:
        return kept.on(tuple(w.map.device for w in live.weights))
    started = time.perf_counter()
    made = _measured(live, windows, requests, method)
    if file is not None and time.perf_counter() - started > WORTH_KEEPING:
        keep(file, made)
    return made


def _measured(
    live: LiveModel,
    windows: Sequence[list[int]],
    requests: Sequence[list[int]],
    method: Measured,
) -> Calibration:
    answers = own_answers(live, requests) if requests else ()
    return measure(live.runner, live.weights, windows, method, answers)


def measure(
    runner: Runner,
    weights: Sequence[EditedWeight],
    windows: Sequence[list[int]],
    method: Measured,
    answers: Sequence[Ids] = (),
) -> Calibration:
    """`calibrate` for tokens.  Keys are put into the metric batch by batch and never held all at once.

    answers: (request, answer) token ids of the unedited model, for a method that asks for its own answers.
    """
    if not method.measures_text:
        return unmeasured_maps(len(weights))
    tokens = sum(len(w) for w in windows)
    sizes: tuple[float, ...] = ()
    metrics: list[DenseMetric | SketchMetric] = []
    if method.metric_weight is not None:
        metrics = [identity_metric(w.projection.d_in, w.shift.device) for w in weights]
    scales = [((method.metric_weight or 0.0) / tokens) ** 0.5] * len(weights)
    with originals(weights):
        if answers:
            sizes, total = _key_sizes(runner, weights, answers)
            each = method.asked_own_weight / total
            for keys, counts in answer_keys(runner, answers):
                metrics = [
                    m.absorb(k * (counts * each / size).sqrt()[:, None].to(k.device))
                    for m, k, size in zip(metrics, keys, sizes, strict=True)
                ]
            scales = [s / size**0.5 for s, size in zip(scales, sizes, strict=True)]
        squares = [0.0 for _ in weights]
        for batch in runner.text_keys(windows, BATCH):
            for i, (keys, size) in enumerate(batch):
                squares[i] += size
                if metrics:
                    metrics[i] = metrics[i].absorb(keys * scales[i])
    norms = tuple((s / (tokens - len(windows))) ** 0.5 for s in squares)
    cut = tuple(m.cut() if isinstance(m, SketchMetric) else m for m in metrics)
    return Calibration(norms, cut, sizes, tuple(answers))


def _key_sizes(
    runner: Runner, weights: Sequence[EditedWeight], answers: Sequence[Ids]
) -> tuple[tuple[float, ...], float]:
    """Mean square entry of each map's keys on the answers, and what all their tokens count together."""
    squares = [0.0 for _ in weights]
    total = 0.0
    for keys, counts in answer_keys(runner, answers):
        total += float(counts.sum())
        squares = [
            s + float((k.square().mean(1) * counts.to(k.device)).sum())
            for s, k in zip(squares, keys, strict=True)
        ]
    return tuple(s / total for s in squares), total
