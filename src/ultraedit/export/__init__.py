"""An edited model in the forms others can use.  A table of names; each is loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultraedit.lazy import lazy_names

if TYPE_CHECKING:
    from ultraedit.export.card import model_card
    from ultraedit.export.delta import DeltaFile, apply_delta, read_delta
    from ultraedit.export.edited import Edited, EditedFolder, open_folder
    from ultraedit.export.exporting import Exported, Kind, export
    from ultraedit.export.factors import RANKS
    from ultraedit.export.lora import AdapterReport, AdapterSettings
    from ultraedit.export.measure import Efficacy

_HOME = {
    "AdapterReport": "lora",
    "AdapterSettings": "lora",
    "DeltaFile": "delta",
    "Edited": "edited",
    "EditedFolder": "edited",
    "Efficacy": "measure",
    "Exported": "exporting",
    "Kind": "exporting",
    "RANKS": "factors",
    "apply_delta": "delta",
    "export": "exporting",
    "model_card": "card",
    "open_folder": "edited",
    "read_delta": "delta",
}

__all__ = [
    "RANKS",
    "AdapterReport",
    "AdapterSettings",
    "DeltaFile",
    "Edited",
    "EditedFolder",
    "Efficacy",
    "Exported",
    "Kind",
    "apply_delta",
    "export",
    "model_card",
    "open_folder",
    "read_delta",
]


__getattr__ = lazy_names(__name__, _HOME)
