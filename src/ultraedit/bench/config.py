"""The settings of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field

from ultraedit import arguments
from ultraedit.bench.schedule import MethodSpec, parse_rows
from ultraedit.bench.scoring import Scoring, as_options
from ultraedit.errors import ConfigError
from ultraedit.settings import EditSettings, Loading


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
    scoring: Scoring = field(default_factory=Scoring)
    seed: int = 0
    loading: Loading = field(default_factory=Loading)

    def __post_init__(self) -> None:
        for name, least in (
            ("turn_size", 1),
            ("orders", 1),
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
        found = as_options(
            self,
            self.settings,
            self.scoring,
            self.loading,
            without=("settings", "scoring", "loading"),
        )
        found["preset"] = list(self.preset)
        if isinstance(self.checkpoints, tuple):
            found["checkpoints"] = ",".join(map(str, self.checkpoints))
        return found
