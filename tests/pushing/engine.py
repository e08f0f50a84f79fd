"""What stands behind the fake servers: a tiny model that really reads the folders it is told to load."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ultraedit.export.adapter import Adapter, attached, read_peft
from ultraedit.export.gguf_adapter import read_gguf
from ultraedit.model.generate import greedy_ids, stop_token_ids


class Engine:
    """Answers from a base, a whole checkpoint, or the base with adapters."""

    def __init__(self, base: Path) -> None:
        self.lock = threading.Lock()
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.model: Any = None
        self.adapters: dict[str, Adapter] = {}
        self.read_weights(base)

    def read_weights(self, folder: Path) -> None:
        """Raises OSError where there is no checkpoint."""
        self.model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()

    def rank_of(self, folder: Path) -> int:
        """Raises OSError where there is no adapter."""
        return read_peft(folder).rank

    def read_adapter(self, path: str) -> None:
        """A folder as PEFT writes it, or llama.cpp's file."""
        place = Path(path)
        if place.suffix == ".gguf":
            names = [
                n for n, _ in self.model.named_modules() if ".mlp." in n and n.endswith("_proj")
            ]
            self.adapters[path] = _present(place, self.model, names)
        else:
            self.adapters[path] = read_peft(place)

    def complete(
        self, prompt: list[int], tokens: int, adapters: dict[str, float]
    ) -> tuple[str, list[int], list[float]]:
        """Text, tokens and their log probabilities; `adapters`: path -> scale."""
        with self.lock, ExitStack() as stack, torch.no_grad():
            for path, scale in adapters.items():
                if scale:
                    stack.enter_context(attached(self.model, self.adapters[path]))
            stops = stop_token_ids(self.model, self.tokenizer)
            (ids,) = greedy_ids(self.model, [prompt], tokens, stops)
            logits = self.model(input_ids=torch.tensor([prompt + ids])).logits[0].float()
            chances = logits.log_softmax(-1)
            likely = [float(chances[len(prompt) - 1 + i, token]) for i, token in enumerate(ids)]
            return str(self.tokenizer.decode(ids, skip_special_tokens=True)), ids, likely


def _present(file: Path, model: Any, names: list[str]) -> Adapter:
    """The adapter of the modules that the file has."""
    import gguf

    from ultraedit.export.gguf_adapter import gguf_names

    held = {t.name for t in gguf.GGUFReader(file).tensors}
    _, known = gguf_names(model, names)
    return read_gguf(file, model, [n for n in names if f"{known[n]}.lora_a" in held])
