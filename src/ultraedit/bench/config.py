"""The settings of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

from ultraedit import arguments
from ultraedit.bench.schedule import MethodSpec, parse_rows
from ultraedit.errors import ConfigError
from ultraedit.settings import EditSettings


@dataclass(frozen=True)
class Config:
    """The settings of a benchmark.  Names are those of the command's options; `config.yaml` holds them all."""

    model: str
    data: str
    edits: int | None = None
    """None takes every usable record of the data."""
    turn_size: int = 100
    preset: tuple[str, ...] = ("default",)
    baseline: tuple[str, ...] = ()
    """Other ways to edit, as further rows."""
    settings: EditSettings = field(default_factory=lambda: EditSettings(form="raw"))
    """Of every row; the rows name their presets, so that it is left out here.  The step is that of the presets that
    are not published."""
    eta: float | None = None
    """Step of the published presets."""
    warm_up: str | None = None
    """Records on which rows that whiten (stableedit) are warmed up."""
    checkpoints: int | tuple[int, ...] = 5
    """How many, or the numbers of edits at which they stand."""
    orders: int = 1
    score: int = 2000
    """Records asked about, at most."""
    generate: int = 200
    """Records asked in free generation, at most."""
    ability: tuple[str, ...] = ()
    """Tasks of general ability, NAME=FILE or NAME."""
    ability_limit: int | None = None
    seed: int = 0
    dtype: str = "auto"
    device: str = "cpu"
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        for name, least in (
            ("turn_size", 1),
            ("orders", 1),
            ("score", 1),
            ("generate", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be at least {least}."
                )

        if self.settings.preset != "default":
            raise ConfigError(
                f"settings names the preset {arguments.quoted(self.settings.preset)}; name the presets of a benchmark "
                "in preset, one a row."
            )
        if isinstance(self.checkpoints, int) and self.checkpoints < 1:
            raise ConfigError(f"--checkpoints is {self.checkpoints}; it must be at least 1.")

    def rows(self) -> list[MethodSpec]:
        return parse_rows(self.preset, self.settings, eta=self.eta, baselines=self.baseline)

    def as_dict(self) -> dict[str, object]:
        """Plain values under the option names, as in `config.yaml`; what is None is left out."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}
        shared = {f.name: getattr(self.settings, f.name) for f in fields(self.settings)}
        del shared["preset"]
        if isinstance(self.settings.modules, str):
            shared["modules"] = (self.settings.modules,)
        if isinstance(self.settings.text, Path):
            shared["text"] = str(self.settings.text)
        found = {key.replace("_", "-"): value for key, value in (own | shared).items()}
        if isinstance(self.checkpoints, tuple):
            found["checkpoints"] = ",".join(map(str, self.checkpoints))
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in found.items()
            if value is not None and value != ()
        }
