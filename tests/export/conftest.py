"""Edited tiny models of several families, made once: exports do not change them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.export import AdapterSettings, Exported, Kind, export
from ultraedit.settings import EditSettings

MODULES = {
    "llama": "*mlp.*",
    "qwen2": "*mlp.down_proj",
    "gpt2": "*mlp.*",
    "phi3": "*mlp.*",
    "gemma3": "model.language_model.*mlp.*",
    "opt": "auto",
}
RECORDS = [
    Record(prompt, target, id=f"fact-{i}") for i, (prompt, target) in enumerate(tiny.FACTS[:6])
]


@dataclass(frozen=True)
class Case:
    """One edited model and the folder of its unedited base."""

    editor: Editor
    base: Path
    records: list[Record]

    def export(self, kind: Kind, out: Path, *, overwrite: bool = False, **adapter: Any) -> Exported:
        """Export the edited model; `adapter` are settings of an adapter."""
        settings = AdapterSettings(**adapter)
        return export(
            self.editor, kind, out, records=self.records, adapter=settings, overwrite=overwrite
        )

    def probe(self) -> torch.Tensor:
        """Token ids of one edit, [1, tokens]."""
        text = f"{self.records[0].prompt} {self.records[0].target}"
        return torch.tensor([self.editor.tokenizer(text)["input_ids"]])

    def logits(self, model: torch.nn.Module | None = None) -> torch.Tensor:
        """Of the live model, or of another one."""
        with torch.no_grad():
            return (model or self.editor.model)(input_ids=self.probe(), use_cache=False).logits


Make = Callable[..., Case]


@pytest.fixture(scope="session")
def make_case(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Edits a fresh model of a family; the same arguments give the same case back."""
    cases: dict[tuple[str, torch.dtype, str], Case] = {}

    def make(name: str, dtype: torch.dtype = torch.float32, preset: str = "default") -> Case:
        key = (name, dtype, preset)
        if key not in cases:
            base = tmp_path_factory.mktemp("base") / name
            tiny.family(name, dtype).save_pretrained(base)
            tokenizer = tiny.tokenizer()
            tokenizer.model_max_length = 10_000  # the calibration text is read in windows
            tokenizer.save_pretrained(base)
            settings = (
                {"step": 1e-3}
                if preset == "paper"
                else {"step": 0.1, "steps": 12, "text_weight": 0.0, "end_token": False}
            )
            editor = Editor.from_pretrained(
                base,
                EditSettings(
                    modules=MODULES.get(name, "auto"), preset=preset, text=tiny.TEXT, **settings
                ),
            )
            editor.edit_many(RECORDS, turn_size=len(RECORDS))
            cases[key] = Case(editor, base, RECORDS)
        return cases[key]

    return make


@pytest.fixture(params=sorted(MODULES))
def case(request: pytest.FixtureRequest, make_case: Make) -> Case:
    """Each family in turn."""
    return make_case(request.param)


@pytest.fixture
def llama(make_case: Make) -> Case:
    return make_case("llama")
