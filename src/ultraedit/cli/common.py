"""What all verbs share: their options and the `--config` file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ultraedit.errors import ConfigError
from ultraedit.model.form import FormChoice


def _read_config(ctx: typer.Context, file: Path | None) -> None:
    """Make the file's values the defaults of this command: flags on the command line win."""
    if file is not None:
        names = {
            (max(p.opts, key=len).lstrip("-") if p.param_type_name == "option" else p.name): p
            for p in ctx.command.params
        }
        known = [name for name in names if name not in ("config", "help")]
        defaults: dict[str, Any] = {}
        for key, value in _yaml_mapping(file).items():
            if key not in known:
                raise ConfigError(
                    f"'{file}' sets \"{key}\", which {ctx.info_name} does not know; it knows "
                    f"{', '.join(known)}."
                )
            listed = getattr(names[key], "multiple", False) and not isinstance(value, list)
            defaults[str(names[key].name)] = [value] if listed else value
        ctx.default_map = defaults


def _yaml_mapping(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the config file '{file}' cannot be read: {error.strerror}; check the path."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"the config file '{file}' is not YAML: {why}.") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(
            f"the config file '{file}' holds no keys; write one `flag: value` a line."
        )
    return {str(key): value for key, value in found.items()}


def refuse_taken(file: Path, overwrite: bool) -> None:
    """Raise ConfigError where a file that a verb would make is there already, or its folder is not."""
    if file.is_dir() or (file.exists() and not overwrite):
        raise ConfigError(f"'{file}' exists; choose another file or pass --overwrite.")
    if not file.absolute().parent.is_dir():
        raise ConfigError(f"the folder of '{file}' does not exist; make it or choose another.")


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A folder, a hub id, or 'smollm2' (obtained on first use)."
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        help="YAML file whose keys are the names of these options; options given here win.",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON only; progress goes to stderr.")
]
TurnSizeOption = Annotated[int, typer.Option("--turn-size", min=1, help="Edits written together.")]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=2**32 - 1, help="Seed of every random choice.", show_default=True
    ),
]
FormOption = Annotated[
    FormChoice,
    typer.Option(
        "--form",
        help="Put prompts as raw text or through the chat template; auto is chat where there is one.",
    ),
]
TokensOption = Annotated[
    int, typer.Option("--max-new-tokens", min=1, help="Longest answer to generate.")
]


def seed_all(seed: int) -> None:
    """Seed torch and Python, so that whatever draws at random draws the same."""
    import random

    import torch

    random.seed(seed)
    torch.manual_seed(seed)


def memory_mb() -> float:
    """Resident memory of this process in MB (10^6 bytes)."""
    import psutil

    return psutil.Process().memory_info().rss / 1e6


@contextmanager
def repeated_warnings() -> Iterator[None]:
    """Show a warning of superseded edits as often as it occurs, and not only the first."""
    from ultraedit.editing.assemble import SupersededWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", SupersededWarning)
        yield
