"""The result file: what was measured, and everything needed to measure it again.

`docs/result-schema.md` describes every field.  A change of meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ultraedit.evaluation.chat.protocol import ChatProtocol
from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.protocol import Protocol
from ultraedit.evaluation.retention import AgeBucket, Retention

SCHEMA_VERSION = 1


class ResultPart(BaseModel):
    """A piece of a result: no unknown field, no infinity or NaN in the JSON, no change once
    made."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class ModelInfo(ResultPart):
    name: str
    dtype: str
    parameters: int
    architecture: str


class DataInfo(ResultPart):
    name: str
    form: str
    rows: int
    """Usable records in the file."""
    edits: int
    """Records streamed into the model."""
    sha256: str | None = None


class Hardware(ResultPart):
    device: str
    cores: int
    memory_bytes: int
    threads: int
    """Threads torch computed with."""


class Checkpoint(ResultPart):
    """The scores after `edits` edits; 0 for the unedited model."""

    edits: int
    figures: dict[str, Figure]
    by_age: dict[str, list[AgeBucket]] = Field(default_factory=dict)
    """`<family>.<metric>` -> buckets, newest first."""


class Pace(ResultPart):
    """One point of the run: how fast, and how much memory."""

    edits: int
    seconds: float
    """Time spent editing so far, evaluation not counted."""
    edits_per_second: float
    """Over the edits since the last point."""
    resident_bytes: int


class ModuleShift(ResultPart):
    """How far one edited weight W has moved from the original W0."""

    name: str
    shift_norm: float
    """Frobenius norm of W - W0."""
    relative: float
    """The same over the norm of W0."""
    spectrum: list[float] = Field(default_factory=list)
    """Largest singular values of W - W0, falling; may be empty."""
    history: list[float] = Field(default_factory=list)
    """`relative` at every point of the run's pace; may be empty."""


class Sample(ResultPart):
    """One question, before and after."""

    edit_id: str
    family: str
    prompt: str
    answer: str | None
    before: str
    after: str


class SideEffect(Sample):
    """An unrelated question whose answer moved."""

    kl: float | None = None
    """Nats at the answer positions."""


class ChatChange(ResultPart):
    """One chat request whose answer changed."""

    id: str
    """Of the bundled request."""
    kind: str
    request: str
    """The user's last message."""
    before: str
    after: str
    right_before: bool | None
    """None where no answer is right or wrong."""
    right_now: bool | None
    copied: str | None
    """The target of a recent edit that the answer brings in."""
    kl: float
    """Nats a token of the unedited answer."""


class Chat(ResultPart):
    """What the run left of the unedited model's chat; the figures stand in the last checkpoint as
    `chat.<figure>`."""

    protocol: ChatProtocol
    requests: int
    """How many were asked."""
    right_before: int
    """Answered rightly by the unedited model."""
    right_now: int
    kept: int
    """Right before and now."""
    unedited: dict[str, Figure]
    """The unedited model's figures on the same requests and edits."""
    by_kind: dict[str, dict[str, Figure]]
    """Kind of request -> the edited model's figures on it."""
    changed: list[ChatChange]
    """Worst first."""
    left_out: dict[str, str]
    """What could not be asked -> why."""


class Run(ResultPart):
    """One preset streamed once, in one order."""

    preset: str
    order: int
    """Which shuffle of the stream; 0 is the file's own order."""
    seed: int
    settings: dict[str, Any]
    checkpoints: list[Checkpoint]
    retention: list[Retention] = Field(default_factory=list)
    pace: list[Pace] = Field(default_factory=list)
    modules: list[ModuleShift] = Field(default_factory=list)
    samples: list[Sample] = Field(default_factory=list)
    side_effects: list[SideEffect] = Field(default_factory=list)
    """Worst first."""
    ability: dict[str, Figure] = Field(default_factory=dict)
    """`<task>.<metric>` by lm-evaluation-harness."""
    alarms: list[str] = Field(default_factory=list)
    chat: Chat | None = None
    """None where it was not measured."""


class Result(ResultPart):
    """The whole of `result.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    kind: Literal["eval", "bench"]
    title: str
    created: str
    """ISO 8601, UTC."""
    model: ModelInfo
    data: DataInfo
    protocol: Protocol
    config: dict[str, Any]
    """The command's settings, as in config.yaml."""
    versions: dict[str, str]
    hardware: Hardware
    unedited: Checkpoint
    """Measured before the first edit, by the same code on the same questions."""
    unedited_ability: dict[str, Figure] = Field(default_factory=dict)
    runs: list[Run]
