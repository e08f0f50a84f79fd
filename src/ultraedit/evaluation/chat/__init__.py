"""How much of the unedited model's chat an edited model keeps.  A table of names; each is loaded
when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ultraedit.data.requests import Request, bundled_requests, spread
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.chat.protocol import ChatProtocol
    from ultraedit.evaluation.chat.scores import ChatRow, ChatScores
    from ultraedit.evaluation.chat.unedited import UneditedChat

_HOME = {
    "ChatMeasure": "evaluation.chat.measure",
    "ChatProtocol": "evaluation.chat.protocol",
    "ChatRow": "evaluation.chat.scores",
    "ChatScores": "evaluation.chat.scores",
    "Request": "data.requests",
    "UneditedChat": "evaluation.chat.unedited",
    "bundled_requests": "data.requests",
    "spread": "data.requests",
}

__all__ = [
    "ChatMeasure",
    "ChatProtocol",
    "ChatRow",
    "ChatScores",
    "Request",
    "UneditedChat",
    "bundled_requests",
    "spread",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ultraedit.{_HOME[name]}"), name)
