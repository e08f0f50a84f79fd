"""Options made of declared settings, one a field, so that no verb writes them down."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Annotated, Any

import typer


def with_options(
    *, without: tuple[str, ...] = (), **groups: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb one option for each field of some settings.

    Args:
        without: Fields that the verb has no option for, or one of its own.
        groups: Parameter of the verb -> settings with its defaults, in whose place the options stand.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        options = {
            name: [
                _option(f, getattr(default, f.name))
                for f in fields(default)
                if f.name not in without
            ]
            for name, default in groups.items()
        }
        signature = inspect.signature(verb, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            own = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            parameters += options.get(parameter.name, [own])

        @functools.wraps(verb)
        def called(**given: Any) -> None:
            made = {}
            for name, default in groups.items():
                chosen = {option.name: given.pop(option.name) for option in options[name]}
                kept = {f.name: getattr(default, f.name) for f in fields(default)}
                kept |= {field: value for field, value in chosen.items() if value is not None}
                made[name] = type(default)(**kept)
            verb(**given, **made)

        called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {p.name: p.annotation for p in parameters}
        return called

    return decorate


def option_word(name: str) -> str:
    """`text-weight` of `text_weight`, as an option and a key of a config file have it."""
    return name.replace("_", "-")


def _option(f: Field[Any], default: Any) -> inspect.Parameter:
    kind, word = f.metadata["option"], option_word(f.name)
    open_ = default is None or default == ()
    declared = f"--{word}/--no-{word}" if kind is bool and open_ else f"--{word}"
    option = typer.Option(declared, help=f.metadata["help"], **f.metadata["limits"])
    return inspect.Parameter(
        f.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if open_ else default,
        annotation=Annotated[kind | None if open_ else kind, option],
    )
