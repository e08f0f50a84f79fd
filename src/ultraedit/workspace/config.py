"""workspace.json: what a workspace is made of.  Written once, sealed, vouched for by the journal's first commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from ultraedit import arguments
from ultraedit.errors import ConfigError, WorkspaceError
from ultraedit.methods.base import Method
from ultraedit.methods.presets import from_settings
from ultraedit.workspace.journal import FileRow
from ultraedit.workspace.sealed import read_sealed

MARKER = "workspace.json"
FORMAT_VERSION = 1

Policy = Literal["warn", "stop", "rollback"]


class ConfigPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BaseInfo(ConfigPart):
    """The unedited model."""

    name: str
    """Alias, hub id, or folder; see `relative`."""
    relative: bool
    """The folder is given relative to the workspace's own folder."""
    revision: str | None
    """Commit of a hub model."""
    dtype: str
    architecture: str
    edited_sha256: str
    """Digest of the tensors that are edited, as they are in the base."""
    files: dict[str, FileRow]
    """The base's safetensors files, where it is a local folder."""
    quantize: Literal["4bit", "8bit"] | None = None
    """How all but the edited maps are loaded; not written where they are loaded as they are."""

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found = write(self)
        return {k: v for k, v in found.items() if (k, v) != ("quantize", None)}


class ModuleInfo(ConfigPart):
    name: str
    shape: tuple[int, int]
    norm: float
    """Frobenius norm of the original weight."""


class Thresholds(ConfigPart):
    """Where a reading turns amber and where red."""

    amber: float
    red: float


class HealthConfig(ConfigPart):
    policy: Policy = "warn"
    perplexity_ratio: Thresholds = Thresholds(amber=1.5, red=2.5)
    """Canary perplexity over the unedited model's; above is worse."""
    shift_ratio: Thresholds = Thresholds(amber=4.0, red=10.0)
    """Largest ||W - W0|| / ||W0||; above is worse.  The default method reaches 0.3 with its first 20 edits of SmolLM2
    and answers all of them; a step ten times too large gives 26."""
    success: Thresholds = Thresholds(amber=0.7, red=0.3)
    """Share of a turn's edits learned right after it; below is worse."""
    reservoir: Thresholds = Thresholds(amber=0.5, red=0.15)
    """Share of a sample of past edits still answered; below is worse."""
    reservoir_size: NonNegativeInt = 256
    reservoir_every: NonNegativeInt = 5
    """Turns between looks at the reservoir; 0 never looks."""
    canary_tokens: NonNegativeInt = 1024
    """Tokens of the bundled drift text; 0 leaves perplexity out."""
    small_turn: NonNegativeInt = 10
    """In turns with fewer edits, success is recorded but not judged."""


@dataclass(frozen=True)
class WorkspaceSettings:
    """What a workspace keeps and watches.

    Args:
        undo_window: Turns whose states stay on disk, so that undo is a file read; each costs 4 bytes per edited weight
            and its low-rank pairs.
        seed: Of the health monitor's sample.
        health: What is measured after a turn, and what is done when it turns red.

    Raises:
        ConfigError: A value is of the wrong kind or out of range.
    """

    undo_window: int = 10
    seed: int = 0
    health: HealthConfig = HealthConfig()  # noqa: RUF009 - it is frozen

    def __post_init__(self) -> None:
        what = "it is a number of turns, {least} or more"
        window = arguments.whole(self.undo_window, "undo_window", 0, what)
        seed = arguments.whole(self.seed, "seed")
        if abs(seed) >= 2**63:
            raise ConfigError(f"seed is {arguments.quoted(seed)}; it must have less than 64 bits.")
        if not isinstance(self.health, HealthConfig):
            raise ConfigError(
                f"health is {arguments.quoted(self.health)}; it must be a HealthConfig."
            )
        object.__setattr__(self, "undo_window", window)
        object.__setattr__(self, "seed", seed)


class WorkspaceConfig(ConfigPart):
    format_version: Literal[1] = FORMAT_VERSION
    created: str
    package_version: str
    base: BaseInfo
    form: Literal["raw", "chat"]
    method: dict[str, bool | int | float | str]
    modules: tuple[ModuleInfo, ...]
    micro_batch: NonNegativeInt
    seed: int
    undo_window: NonNegativeInt
    """Turns whose states and low-rank pairs are kept."""
    health: HealthConfig = Field(default_factory=HealthConfig)
    calibration: FileRow

    def base_location(self, folder: Path) -> str:
        """What to load the base model from."""
        if self.base.relative:
            return str((folder / self.base.name).resolve())
        return self.base.name


def read_config(folder: Path) -> WorkspaceConfig:
    """Raises WorkspaceError where `folder` is no workspace, is damaged, or is of another format version."""
    if not is_workspace(folder):
        raise WorkspaceError(
            f"'{folder}' is not a workspace (it has no {MARKER}); make one with `ultraedit init {folder} --model ...`."
        )
    content: dict[str, Any] = read_sealed(folder / MARKER)
    version = content.get("format_version")
    if version != FORMAT_VERSION:
        raise WorkspaceError(
            f"'{folder}' has format version {version} and this program reads version {FORMAT_VERSION}; "
            "use the program it was made with, or a newer one."
        )
    try:
        return WorkspaceConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise WorkspaceError(
            f"'{folder / MARKER}' cannot be used: {where}: {first['msg']}; was it written by a newer program?"
        ) from error


def is_workspace(folder: str | Path) -> bool:
    """Whether `folder` holds the marker file of a workspace."""
    try:
        return (Path(folder) / MARKER).is_file()
    except OSError:  # a name that is too long: it may be a prompt given in the folder's place
        return False


def method_in(config: WorkspaceConfig, folder: Path) -> Method:
    """The method a workspace was made with.  Raises WorkspaceError for settings that this program does not know."""
    try:
        return from_settings(config.method)
    except ConfigError as error:
        raise WorkspaceError(f"the settings of '{folder}' cannot be used: {error}") from error
