"""The options of `EditSettings` for a verb, one a field, so that no verb writes them down."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Annotated, Any

import typer

from ultraedit.settings import EditSettings

PLACE = "settings"
"""Name of the parameter that the options take the place of."""


def with_settings(
    *, without: tuple[str, ...] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb that takes `settings: EditSettings` one option a setting.

    Args:
        without: Settings that the verb has options of its own for.
        defaults: Settings whose defaults are others in this verb.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        options = [_option(f, defaults) for f in fields(EditSettings) if f.name not in without]
        names = [option.name for option in options]
        signature = inspect.signature(verb, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
            parameters += options if parameter.name == PLACE else own

        @functools.wraps(verb)
        def called(**given: Any) -> None:
            chosen = {name: given.pop(name) for name in names}
            chosen = {name: value for name, value in chosen.items() if value is not None}
            verb(**given, **{PLACE: EditSettings(**(defaults | chosen))})

        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate


def option_word(name: str) -> str:
    """`text-weight` of `text_weight`, as an option and a key of a config file have it."""
    return name.replace("_", "-")


def _option(f: Field[Any], defaults: dict[str, Any]) -> inspect.Parameter:
    default = defaults.get(f.name, f.default)
    text = f.metadata["help"]
    if default is None and "[default" not in text:
        text += "  [default: the preset's]"
    kind, word = f.metadata["option"], option_word(f.name)
    declared = f"--{word}/--no-{word}" if kind is bool else f"--{word}"
    option = typer.Option(declared, help=text, **f.metadata["limits"])
    return inspect.Parameter(
        f.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind | None if default is None else kind, option],
    )
