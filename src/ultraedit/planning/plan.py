"""The memory plan: the editing code itself, run over fake tensors, with all live bytes counted by part."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.initialization import no_init_weights

from ultraedit.core.metric import DenseMetric, SketchMetric
from ultraedit.defaults import MICRO_BATCH
from ultraedit.errors import ConfigError, ModelError
from ultraedit.methods.base import Calibration, EncodedTurn, Method
from ultraedit.methods.calibration import measure
from ultraedit.methods.closed_form import Batching, ClosedForm, TurnEngine
from ultraedit.methods.own_answers import blank_answers
from ultraedit.methods.presets import PRESETS
from ultraedit.methods.ultraedit import UltraEditState
from ultraedit.model.checkpoint import one_line
from ultraedit.model.find import Structure, find_structure
from ultraedit.model.runner.listener import Listener
from ultraedit.model.runner.local import LocalRunner
from ultraedit.model.select import select_projections
from ultraedit.model.stack import Stack, as_result
from ultraedit.model.weights import EditedWeight, edited_weights
from ultraedit.planning.experts import run_by_sizes
from ultraedit.planning.memory_tracker import MemoryTracker
from ultraedit.planning.packed import quantise

Quantize = Literal["4bit", "8bit"]

PARTS = (
    "weights",
    "masters",
    "metric and statistics",
    "trunk cache",
    "keys and gradients",
    "solve",
    "activations and scratch",
)

PHASES = {"statistics": "metric and statistics", "solve": "solve"}
"""Phase of a turn -> part of the plan."""

STEPS = 2
"""Steps of a turn that are run: a third takes no more memory than the second did."""


@dataclass(frozen=True)
class Workload:
    """What is planned for."""

    dtype: torch.dtype
    turn_size: int = 100
    micro_batch: int = MICRO_BATCH
    tokens_per_edit: int = 30
    """Prompt and answer together."""
    answer_tokens: int = 3
    text_tokens: int = 2048
    """Ordinary text that is measured before the first edit; more of it takes no more memory."""
    quantize: Quantize | None = None


@dataclass(frozen=True)
class Plan:
    """Bytes at the moment when most are live."""

    model: str
    modules: tuple[str, ...]
    parameters: int
    edited_parameters: int
    workload: Workload
    parts: dict[str, int]
    """Part -> bytes at the peak; `PARTS` names them all."""
    peak: int
    moment: str
    """"measuring text" or "turn": when the peak comes."""


class _Sorter(Listener):
    """Sorts what a turn allocates into parts."""

    def __init__(self, memory: MemoryTracker) -> None:
        self.memory = memory

    def phase(self, name: str) -> AbstractContextManager[object]:
        return self.memory.part(PHASES[name])

    def made(self, name: str, *tensors: Tensor) -> None:
        self.memory.assign(name, *tensors)


def plan(
    name: str,
    config: PreTrainedConfig,
    method: Method,
    workload: Workload,
    modules: str | Sequence[str] | None = None,
) -> Plan:
    """Peak memory of measuring the text and of one late turn, once the model is loaded.

    Raises ModelError for a structure that cannot be edited and ConfigError for a workload that makes no sense.
    """
    if not isinstance(method, ClosedForm):
        raise ConfigError(
            f'"{method.name}" cannot be planned: only methods in closed form can ({", ".join(_closed())}).'
        )
    _check(workload)
    memory = MemoryTracker()
    with FakeTensorMode(), memory:
        # without values nothing can be initialised: a draw that repeats until it fits would never end
        with memory.part("weights"), no_init_weights():
            model = _shaped(name, config, workload.dtype)
            model.eval().requires_grad_(False)
        structure = find_structure(model)
        projections = select_projections(model, structure, modules or method.modules)
        parameters = sum(p.numel() for p in model.parameters())
        if workload.quantize:
            keep = {model.get_submodule(p.name) for p in projections}
            with memory.part("weights"):
                quantise(structure.blocks, keep, int(workload.quantize[0]))
        first = min(p.block for p in projections)
        memory.peak = 0  # loading is not part of the plan
        with memory.part("masters"):
            weights = edited_weights(model, projections)
        with memory.part("activations and scratch"):
            try:
                stack = Stack(model, structure, first)
                _pass_over_alike(structure, first, stack.lengths)
                memory.moment = "measuring text"
                calibration = measure(
                    LocalRunner(stack, weights),
                    weights,
                    _windows(workload),
                    method,
                    blank_answers(method.asked_own_weight),
                )
                _assign_metrics(memory, calibration.metrics)
                memory.moment = "turn"
                _late_turn(stack, weights, calibration, method, workload, memory)
            except RuntimeError as error:  # torch's for shapes that do not fit together
                raise _misfit(name, error) from error
    return Plan(
        name,
        tuple(p.name for p in projections),
        parameters,
        sum(p.d_in * p.d_out for p in projections),
        workload,
        {part: memory.at_peak.get(part, 0) for part in PARTS},
        memory.peak,
        memory.peak_moment,
    )


def _shaped(name: str, config: PreTrainedConfig, dtype: torch.dtype) -> Any:
    """The model without values.  Raises ModelError for a config whose numbers do not fit together."""
    try:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    except Exception as error:  # each family checks its numbers in its own way, or not at all
        raise _misfit(name, error) from error
    model.tie_weights()  # which initialising would have done
    run_by_sizes(model)
    return model


def _misfit(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"the config of '{name}' does not make a model that runs: {one_line(error)}; mend its config.json."
    )


class _PassedOver(nn.Module):
    """A frozen block that keeps its weights and hands its input on."""

    def __init__(self, block: nn.Module, length: int | None) -> None:
        super().__init__()
        self.block = block
        self.length = length

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)  # what the decoder asks its blocks

    def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> object:
        return as_result(hidden_states, self.length)


def _pass_over_alike(structure: Structure, first: int, lengths: Sequence[int | None]) -> None:
    """Run the first two frozen blocks only: the others are like the second (the embeddings live on beside it), and
    each drops its scratch before the next begins.

    The peak stays what it is; a plan of a model with 60 blocks takes seconds.
    """
    for index in range(2, first):
        structure.blocks[index] = _PassedOver(structure.blocks[index], lengths[index])


def _late_turn(
    stack: Stack,
    weights: Sequence[EditedWeight],
    calibration: Calibration,
    method: ClosedForm,
    workload: Workload,
    memory: MemoryTracker,
) -> None:
    """One turn with the metric as large as it ever gets."""
    method = replace(method, steps=min(method.steps, STEPS))
    stack.listener = _Sorter(memory)
    engine = TurnEngine(
        LocalRunner(stack, weights),
        weights,
        calibration,
        method,
        Batching(workload.micro_batch, leave_out_learned=False),  # the most that a turn can take
    )
    with memory.part("metric and statistics"):
        state = engine.start()
        if isinstance(state, UltraEditState) and state.method.history:
            state = replace(state, metrics=tuple(map(_full, calibration.metrics)))
    prompt = (
        workload.tokens_per_edit - workload.answer_tokens + 1
    )  # the last answer token is not run
    owners = [edit for edit in range(workload.turn_size) for _ in range(1 + method.wordings)]
    pairs = [  # each begins otherwise: nothing of a raw prompt is shared
        ([i % 2 + 1] + [1] * (prompt - 1), [1] * workload.answer_tokens) for i in range(len(owners))
    ]
    lengths = [workload.answer_tokens] * workload.turn_size
    engine.run(EncodedTurn(pairs, owners, lengths), state)


def _full(metric: DenseMetric | SketchMetric) -> DenseMetric | SketchMetric:
    """A metric as large as it ever gets."""
    if isinstance(metric, DenseMetric):
        return metric
    return SketchMetric(
        metric.rows.new_empty(3 * metric.rank // 2, metric.rows.shape[1]), metric.rank
    )


def _assign_metrics(memory: MemoryTracker, metrics: Sequence[DenseMetric | SketchMetric]) -> None:
    for metric in metrics:
        kept = metric.matrix if isinstance(metric, DenseMetric) else metric.rows
        memory.assign("metric and statistics", kept)


def _windows(workload: Workload) -> list[list[int]]:
    return [[1] * 128] * max(workload.text_tokens // 128, 1)


def _closed() -> list[str]:
    return [name for name, known in PRESETS.items() if isinstance(known, ClosedForm)]


def _check(workload: Workload) -> None:
    if workload.turn_size < 1 or workload.micro_batch < 1:
        raise ConfigError(
            f"turn size {workload.turn_size} and micro-batch {workload.micro_batch} must be at least 1."
        )
    if not 1 <= workload.answer_tokens < workload.tokens_per_edit:
        raise ConfigError(
            f"tokens per edit is {workload.tokens_per_edit}; it counts the prompt and an answer of "
            f"{workload.answer_tokens} tokens, so give more."
        )
