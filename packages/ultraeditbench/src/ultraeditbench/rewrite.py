"""Optional rewording of the rephrases by a language model: an OpenAI-compatible server or a local
folder.

Knows nothing of triples.  A reworded prompt is kept only where it passes the same gates as a
template; otherwise the
template stays.  Answers of a model are not reproducible in general, so a rewritten set is not
promised
to have the same bytes twice.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from ultraedit.errors import ConfigError, DataError
from ultraedit.quiet import no_progress_bars
from ultraeditbench.compose import Draft
from ultraeditbench.phrases import holds

_ORDER = (
    "Reword the question below as one natural English question with the same meaning. "
    "Keep the name "
    "'{subject}' letter for letter. Do not answer it. Reply with the question alone.\n\n{question}"
)
_WORKERS = 8
_TIMEOUT = 120
"""Seconds to wait for one answer."""


class Model(Protocol):
    """Anything that answers one instruction."""

    def answer(self, instruction: str) -> str:
        """The model's reply as plain text."""
        ...


class ServerModel:
    """A chat model behind `POST <url>/chat/completions`.  The key, if any, is read from
    OPENAI_API_KEY."""

    def __init__(self, url: str, model: str) -> None:
        self.url = url.rstrip("/") + "/chat/completions"
        self.model = model

    def answer(self, instruction: str) -> str:
        """The reply.  Raises `DataError` when the server cannot be reached or does not answer in
        the known form."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": instruction}],
            "temperature": 0,
            "max_tokens": 96,
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:
                return json.load(reply)["choices"][0]["message"]["content"]
        except (OSError, urllib.error.URLError) as error:
            raise DataError(f"The server at {self.url!r} gave no answer: {error}.") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{self.url!r} answered in another form than an OpenAI-compatible server; "
                "check --rewrite."
            ) from error


class LocalModel:
    """A causal language model with a chat template in a local folder, decoded greedily."""

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            with no_progress_bars():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
                self._model: Any = AutoModelForCausalLM.from_pretrained(
                    folder, local_files_only=True
                ).eval()
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ConfigError(
                f"--rewrite '{folder}' could not be loaded as a local model ({why}); name the folder of a chat model, "
                "or the URL of a server."
            ) from error

    def answer(self, instruction: str) -> str:
        """The greedy reply, up to 96 tokens."""
        import torch

        chat = [{"role": "user", "content": instruction}]
        text = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        batch = self._tokenizer(text, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            out = self._model.generate(**batch, max_new_tokens=96, do_sample=False)
        return self._tokenizer.decode(
            out[0, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )


def accept(reply: str, draft: Draft) -> str | None:
    """The reworded question where it may stand in for the template's: one line, ends in a question
    mark, holds the
    subject letter for letter, holds neither the answer nor the old one, and is not the edit prompt
    again."""
    lines = [line.strip().strip("\"'*") for line in reply.strip().splitlines() if line.strip()]
    if len(lines) != 1:
        return None
    text = re.sub(r"\s+", " ", lines[0])
    answers = [draft.row.t, *([draft.row.old] if draft.row.old else [])]
    fits = text.endswith("?") and len(text) <= 240 and draft.row.s in text
    if not fits or text in (draft.prompt, draft.rephrase) or any(holds(text, a) for a in answers):
        return None
    return text


class Rewriter:
    """Rewords the rephrases of a stream of drafts, several requests at a time, order kept."""

    def __init__(self, model: Model, workers: int = _WORKERS) -> None:
        self.model = model
        self.workers = workers

    @classmethod
    def open(cls, where: str, model: str | None) -> Rewriter:
        """A rewriter for a URL or a local folder.  Raises `ConfigError` when it is neither."""
        if where.startswith(("http://", "https://")):
            return cls(ServerModel(where, model or ""))
        if not Path(where).is_dir():
            raise ConfigError(
                f"--rewrite {where!r} is neither an http(s) address nor a folder with a model."
            )
        return cls(LocalModel(Path(where)), workers=1)

    def _one(self, draft: Draft) -> Draft:
        question = draft.rephrase if draft.rephrase.endswith("?") else draft.prompt
        text = accept(
            self.model.answer(_ORDER.format(subject=draft.row.s, question=question)), draft
        )
        if text is not None:
            draft.rephrase, draft.rewritten = text, True
        return draft

    def apply(self, drafts: Iterable[Draft]) -> Iterator[Draft]:
        """The same drafts in the same order, reworded where the reply was acceptable."""
        with ThreadPoolExecutor(self.workers) as pool:
            stream = iter(drafts)
            while group := list(islice(stream, 16 * self.workers)):
                yield from pool.map(self._one, group)
