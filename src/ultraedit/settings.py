"""The settings of editing, each declared once: its name, default, check and help.

`Editor`, `Editor.from_pretrained`, `create_workspace` and `bench.Config` take an `EditSettings`; `ultraedit edit`,
`init` and `bench` make their options of its fields, whose names are the keys of a `--config` file too.  A new setting
is a new field here.  Imports no heavy library, so that the command line can read it.
"""
# ruff: noqa: RUF009 - `declared` makes a field

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ultraedit import arguments
from ultraedit.defaults import MICRO_BATCH
from ultraedit.errors import ConfigError
from ultraedit.model.form import FormChoice

if TYPE_CHECKING:
    from ultraedit.methods.base import Method

OWN = "  [default: the preset's]"
Dtype = Literal["auto", "float32", "bfloat16", "float16", "fastest"]
Check = Callable[[object, str], Any]
"""Takes a value and the setting's name; returns the value as it is kept, or raises ConfigError."""


def declared(default: Any, check: Check, option: Any, text: str, **limits: float) -> Any:
    """A field of settings: its check, and the help, type and limits of its option on the command line."""
    return field(
        default=default,
        metadata={"check": check, "option": option, "help": text, "limits": limits},
    )


def keep_checked(settings: Any) -> None:
    """Check every declared field of frozen settings, and keep what the check makes of it."""
    for f in fields(settings):
        kept = f.metadata["check"](getattr(settings, f.name), f.name)
        object.__setattr__(settings, f.name, kept)


def _unless_none(check: Check) -> Check:
    return lambda value, name: None if value is None else check(value, name)


def _preset(value: object, name: str) -> object:
    if isinstance(value, str):
        return value
    from ultraedit.methods.base import Method

    return value if isinstance(value, Method) else arguments.word(value, name)


def _modules(value: object, name: str) -> str | tuple[str, ...] | None:
    """A list of one is that one, so that `--modules auto` is "auto"."""
    found = arguments.patterns(value)
    return found[0] if isinstance(found, tuple) and len(found) == 1 else found


def _text(value: object, name: str) -> str | Path:
    """A text, or the path of a file that holds one."""
    return value if isinstance(value, Path) else arguments.text(value, name)


@dataclass(frozen=True)
class EditSettings:
    """How a model is edited.  None leaves a setting at what the preset says.

    Args:
        preset: Name of a preset, or a `Method`, whose settings the fields from `step` to `end_token` change.
        modules: "auto", "upper", "paper", or names and globs of linear maps.
        form: Form in which prompts are put: "raw" text, the "chat" template, or "auto" (chat where there is one).
        step: Step size, as a share of a typical output of the edited map.
        steps: Solves of a turn.
        ridge: Damping of the solve.
        text_weight: Weight of ordinary text in the metric, so that edits leave it alone.
        horizon: Edited tokens after which earlier edits are protected 1/e as much; 0: they never fade.
        end_token: Whether the end of a bare answer is edited with it.
        voice: "bare" writes the target alone, "own" a sentence in the model's own words that holds it, "auto" own words
            where prompts are put through a chat template.
        wordings: Further wordings of each prompt that the model makes and that are written with it.
        micro_batch: Prompts run at once, at most.
        text: Ordinary text that is measured before the first edit, or the `Path` of a file that holds it; None takes
            the bundled text.

    Raises:
        ConfigError: A value is of the wrong kind or out of range.
        DataError: `text` cannot be encoded.
    """

    preset: str | Method = declared(
        "default", _preset, str, "default, thorough, fast, paper or stableedit."
    )
    modules: str | Sequence[str] | None = declared(
        None,
        _modules,
        list[str],
        "auto, upper, paper, or a name or glob of linear maps; may be repeated." + OWN,
    )
    form: FormChoice = declared(
        "auto",
        arguments.word,
        FormChoice,
        "Put prompts as raw text or through the chat template; auto is chat where there is one.",
    )
    step: float | None = declared(None, _unless_none(arguments.number), float, "Step size." + OWN)
    steps: int | None = declared(None, _unless_none(arguments.whole), int, "Solves a turn." + OWN)
    ridge: float | None = declared(
        None, _unless_none(arguments.number), float, "Damping of the solve." + OWN
    )
    text_weight: float | None = declared(
        None,
        _unless_none(arguments.number),
        float,
        "Weight of ordinary text in the metric, so that edits leave it alone." + OWN,
    )
    horizon: float | None = declared(
        None,
        _unless_none(arguments.number),
        float,
        "Edited tokens after which earlier edits are protected 1/e as much, so that there stays room for new ones; "
        "0: never." + OWN,
    )
    end_token: bool | None = declared(
        None, _unless_none(arguments.flag), bool, "Edit the end of a bare answer with it." + OWN
    )
    voice: Literal["auto", "own", "bare"] | None = declared(
        None,
        _unless_none(arguments.word),
        Literal["auto", "own", "bare"],
        "Write the target alone (bare), or a sentence in the model's own words that holds it (own); auto is own words "
        "in a chat." + OWN,
    )
    wordings: int | None = declared(
        None,
        _unless_none(arguments.whole),
        int,
        "Further wordings of each prompt that the model makes and that are written with it." + OWN,
    )
    micro_batch: int = declared(
        MICRO_BATCH,
        lambda value, name: arguments.whole(value, name, 1),
        int,
        "Prompts run at once.",
        min=1,
    )
    text: str | Path | None = declared(
        None,
        _unless_none(_text),
        Path,
        "File of ordinary text that is measured before the first edit.  [default: a bundled one]",
    )

    def __post_init__(self) -> None:
        keep_checked(self)

    def method(self) -> Method:
        """The preset with what these settings change in it.

        Raises:
            ConfigError: The preset is unknown, has no such setting, or refuses its value.
        """
        from ultraedit.methods.presets import method

        return method(self.preset, **{name: getattr(self, name) for name in OF_THE_METHOD})

    def ordinary_text(self) -> str:
        """The text that is measured.  Raises ConfigError where its file cannot be read."""
        if self.text is None:
            from ultraedit.data.bundled import anchor_text

            return anchor_text()
        if isinstance(self.text, str):
            return self.text
        try:
            return self.text.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise ConfigError(
                f"the text '{self.text}' cannot be read ({why}); name a file of plain text."
            ) from error

    def changed(self) -> dict[str, Any]:
        """The settings that are not at their defaults, by name."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != f.default
        }


@dataclass(frozen=True)
class Loading:
    """How a model is loaded.

    Args:
        dtype: "auto" (the checkpoint's own), "float32", "bfloat16", "float16", or "fastest" on this machine.
        device: Where it runs: "cpu", "cuda", "cuda:1".
        device_map: Spread over devices by accelerate: "auto", "balanced", "balanced_low_0", "sequential", or a mapping
            of module names to devices; None keeps it whole on `device`.
        trust_remote_code: Run the code that a checkpoint carries.
        quantize: "4bit" or "8bit" for all weights but the edited maps, by bitsandbytes; None loads them as they are.

    Raises:
        ConfigError: A value is of the wrong kind, or both a device and a map of devices are given.
    """

    dtype: str = declared(
        "auto",
        lambda value, _: arguments.dtype(value),
        Dtype,
        "Load weights as; auto is the checkpoint's own, fastest is measured on this machine.",
    )
    device: str = declared(
        "cpu", lambda value, _: arguments.device(value), str, "Where to run: cpu, cuda, cuda:1."
    )
    device_map: arguments.DeviceMap = declared(
        None,
        lambda value, _: arguments.device_map(value),
        str,
        "Spread the model over devices, and offload what does not fit: auto, balanced, balanced_low_0, sequential, or "
        """a mapping in JSON, as '{"model.layers.0": 0, "": "cpu"}'.""",
    )
    trust_remote_code: bool = declared(
        False, arguments.flag, bool, "Run the code a checkpoint carries."
    )
    quantize: Literal["4bit", "8bit"] | None = declared(
        None,
        lambda value, _: arguments.quantize(value),
        Literal["4bit", "8bit"],
        "Load all weights but the edited maps in so many bits, by bitsandbytes.",
    )

    def __post_init__(self) -> None:
        keep_checked(self)
        arguments.one_place(self.device, self.device_map)


OF_THE_METHOD = (
    "step",
    "steps",
    "ridge",
    "text_weight",
    "horizon",
    "end_token",
    "voice",
    "wordings",
)
"""Settings that change the preset's own."""


def check_loading(loading: object) -> Loading:
    """How a caller wants a model loaded, None being all defaults.

    Raises:
        ConfigError: It is no `Loading`.
    """
    if loading is None:
        return Loading()
    if not isinstance(loading, Loading):
        raise ConfigError(
            f'loading is {arguments.quoted(loading)}; give Loading(...), as Loading(device="cuda").'
        )
    return loading


def check_settings(settings: object) -> EditSettings:
    """The settings a caller passed, None being all defaults.

    Raises:
        ConfigError: They are no `EditSettings`.
    """
    if settings is None:
        return EditSettings()
    if not isinstance(settings, EditSettings):
        raise ConfigError(
            f'settings is {arguments.quoted(settings)}; give EditSettings(...), as EditSettings(preset="fast").'
        )
    return settings
