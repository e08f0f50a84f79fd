"""Holds other libraries' progress bars and logs back while this one loads, saves or measures."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from logging import ERROR, getLogger
from typing import Any

_HUB = "huggingface_hub.utils.tqdm"
"""Module of the hub client's switches; its own package hides it behind a class of the same name."""


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Inside the block neither transformers nor huggingface_hub nor a bare tqdm draws; afterwards each is as it was.

    The first two keep switches of their own, and transformers' functions throw both: whoever had switched one of them
    off, the hub client by group or by its environment variable, must find it so.
    """
    from tqdm import tqdm
    from transformers.utils import logging

    drew = logging.is_progress_bar_enabled()
    switches: dict[str, bool] = import_module(_HUB).progress_bar_states
    kept = dict(switches)
    usual = tqdm.__init__

    def undrawn(bar: Any, *arguments: Any, **settings: Any) -> None:
        usual(bar, *arguments, **{**settings, "disable": True})

    _without_warnings(logging.disable_progress_bar)
    # some loaders use tqdm itself, which has no switch; a plain assignment would be of another type
    setattr(tqdm, "__init__", undrawn)  # noqa: B010
    try:
        yield
    finally:
        setattr(tqdm, "__init__", usual)  # noqa: B010
        if drew:
            _without_warnings(logging.enable_progress_bar)
        switches.clear()
        switches.update(kept)


def _without_warnings(switch: Callable[[], None]) -> None:
    """The hub client warns where its environment variable decides, which is what the user set it for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        switch()


@contextmanager
def no_logs(*names: str) -> Iterator[None]:
    """Loggers of these names say nothing below an error inside the block, and what they said before after it."""
    loggers = [getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
