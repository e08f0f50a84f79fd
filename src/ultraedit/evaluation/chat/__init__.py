"""How much of the unedited model's chat an edited model keeps.  A table of names; each is loaded
when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.chat.protocol import ChatProtocol
    from ultraedit.evaluation.chat.requests import Request, bundled_requests
    from ultraedit.evaluation.chat.scores import ChatRow, ChatScores
    from ultraedit.evaluation.chat.unedited import UneditedChat

_HOME = {
    "ChatMeasure": "measure",
    "ChatProtocol": "protocol",
    "ChatRow": "scores",
    "ChatScores": "scores",
    "Request": "requests",
    "UneditedChat": "unedited",
    "bundled_requests": "requests",
}

__all__ = [
    "ChatMeasure",
    "ChatProtocol",
    "ChatRow",
    "ChatScores",
    "Request",
    "UneditedChat",
    "bundled_requests",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
