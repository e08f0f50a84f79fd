"""Edits wrapped models, saves them and prints what comes back, for `test_plain.py`.

A process of its own: the type checks of the test session know no wrapper of a model.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
from peft import LoraConfig
from torch import nn
from transformers import AutoModelForCausalLM

import tiny
from ultraedit.editing.editor import Editor
from ultraedit.errors import UltraEditError
from ultraedit.export import AdapterSettings, apply_delta, export, open_folder
from ultraedit.model.load import load
from ultraedit.settings import EditSettings

IDS = torch.tensor([[1, 40, 41, 42, 90, 91]])


def adapted(config: peft.PeftConfig, **changes: Any) -> Any:
    """A tiny Llama with an adapter whose effect is not zero."""
    torch.manual_seed(1)
    model = peft.get_peft_model(tiny.llama(**changes), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data.normal_(std=0.2)
    return model.eval()


def lora(*targets: str, **more: Any) -> LoraConfig:
    return LoraConfig(r=4, target_modules=list(targets), task_type="CAUSAL_LM", **more)


WRAPPED: dict[str, Callable[[], Any]] = {
    "lora": lambda: adapted(lora("q_proj", "v_proj")),
    "dora": lambda: adapted(lora("q_proj", use_dora=True)),
    "a new head": lambda: adapted(lora("q_proj", modules_to_save=["lm_head"])),
    "the embedding": lambda: adapted(lora("embed_tokens")),
    "compiled": lambda: torch.compile(tiny.llama(), backend="eager"),
    "compiled lora": lambda: torch.compile(adapted(lora("q_proj")), backend="eager"),
}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def edited(model: Any, base: str | None = None, **settings: Any) -> Editor:
    own = EditSettings(text=tiny.TEXT, step=0.5, **settings)
    editor = Editor(model, tiny.tokenizer(), own, base=base)
    editor.edit("The mayor of Tasp is", "Ida")
    return editor


def saved(model: nn.Module, folder: Path) -> dict[str, Any]:
    """What differs between the live model and the one that is loaded from its saved folder."""
    unedited = logits(model)
    editor = edited(model)
    live = logits(model)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    editor.save_pretrained(folder)
    again, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    notes = json.loads((folder / "ultraedit.json").read_text())
    for name in notes["modules"]:
        again.get_submodule(name)
    return {
        "moved by the edit": float((live - unedited).abs().max()),
        "reloaded": float((logits(again) - live).abs().max()),
        "live model unchanged": logits(model).equal(live)
        and all(value.equal(kept[name]) for name, value in model.state_dict().items()),
        "keys": [*report["missing_keys"], *report["unexpected_keys"]],
        "adapter_merged": notes["adapter_merged"],
    }


def exported(folder: Path) -> dict[str, Any]:
    """Exports of a compiled model and of an adapted one, live and from what they were saved to."""
    base = folder / "base"
    tiny.llama().save_pretrained(base)
    tiny.tokenizer().save_pretrained(base)
    compiled = torch.compile(load(base)[0], backend="eager")
    editor = edited(compiled, base=str(base))
    export(editor, "delta", folder / "live")
    export(open_folder(editor.save_pretrained(folder / "compiled")), "delta", folder / "saved")
    found: dict[str, Any] = {}
    for name in ("live", "saved"):
        again, _ = load(base)
        apply_delta(again, folder / name)
        found[name] = logits(again).equal(logits(compiled))
    beside = edited(peft.get_peft_model(load(base)[0], lora("q_proj")), base=str(base))
    for kind in ("delta", "lora"):
        try:
            export(beside, kind, folder / kind, adapter=AdapterSettings(rank=8, force=True))
        except UltraEditError as error:
            found[kind] = str(error)
    export(beside, "merged", folder / "merged")
    try:
        open_folder(folder / "merged")
    except UltraEditError as error:
        found["merged"] = str(error)
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    results: dict[str, Any] = {k: saved(make(), place / k) for k, make in WRAPPED.items()}
    print(json.dumps(results | {"exported": exported(place / "exported")}))
