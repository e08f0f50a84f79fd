"""One entry for all kinds of export: checks the target, writes, measures, puts in place, says how to serve."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ultraedit.data.record import Record
from ultraedit.editing.precious import refuse_precious
from ultraedit.errors import ConfigError
from ultraedit.export.card import model_card, public_name
from ultraedit.export.delta import write_delta
from ultraedit.export.edited import Edited
from ultraedit.export.factors import RANKS
from ultraedit.export.lora import AdapterReport, AdapterSettings, write_gguf_lora, write_lora
from ultraedit.export.merged import write_merged
from ultraedit.io.atomic import new_output
from ultraedit.model.load import resolve

if TYPE_CHECKING:
    from ultraedit.evaluation.schema import Result

Kind = Literal["merged", "delta", "lora", "gguf-lora", "card"]
README = "README.md"


@dataclass(frozen=True)
class Exported:
    """What was written, and how to use it."""

    kind: Kind
    path: Path
    bytes: int
    serve: tuple[str, ...]
    """Shell lines; the base's own GGUF file is written BASE.gguf, because only the user has it."""
    adapter: AdapterReport | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON.  `kept` is the share of the live model's right answers that the adapter keeps."""
        out: dict[str, Any] = {
            "kind": self.kind,
            "path": str(self.path),
            "bytes": self.bytes,
            "serve": list(self.serve),
        }
        if self.adapter is not None:
            out["adapter"] = asdict(self.adapter) | {"kept": self.adapter.efficacy.kept}
        return out


def export(
    edited: Edited,
    to: Kind,
    out: str | Path,
    *,
    records: Sequence[Record] = (),
    adapter: AdapterSettings | None = None,
    overwrite: bool = False,
    result: Result | None = None,
) -> Exported:
    """Write `edited` (an `Editor`, or what `open_folder` gives) to `out`; all of it or nothing.

    to: "merged", "delta" and "lora" make a folder, "gguf-lora" a file, "card" a README.md (in `out` if that is a
    folder).  records: the edits, in the order they were made; an adapter is measured on them.  adapter: how it is cut,
    and what it must keep.  result: scores for the card.
    Raises ConfigError for a bad setting, an occupied or unwritable target, or an adapter that keeps too little, and
    ModelError for a family a format cannot carry.
    """
    if to not in get_args(Kind):
        raise ConfigError(f'"{to}" is not a kind of export; use {", ".join(get_args(Kind))}.')
    path = Path(out)
    if to == "card" and (path.is_dir() or path.suffix != ".md"):
        path = path / README
    refuse_precious(path, edited.base)
    how = adapter or AdapterSettings()
    report: AdapterReport | None = None
    with new_output(path, overwrite) as made:
        if to == "card":
            made.write_text(model_card(edited, to, result=result), encoding="utf-8")
        elif to == "gguf-lora":
            report = write_gguf_lora(edited, made, records, how)
        else:
            made.mkdir()
            if to == "lora":
                report = write_lora(edited, made, records, how)
            else:
                writers: dict[str, Callable[[Edited, Path], None]] = {
                    "merged": write_merged,
                    "delta": write_delta,
                }
                writers[to](edited, made)
            text = model_card(
                edited,
                to,
                result=result,
                adapter=report,
                serve=serve_lines(to, edited, Path(path.name), report, public_name(edited.base)),
            )
            (made / README).write_text(text, encoding="utf-8")
    serve = serve_lines(to, edited, path, report, resolve(edited.base))
    return Exported(to, path, _size(path), serve, report)


def serve_lines(
    to: Kind, edited: Edited, path: Path, report: AdapterReport | None, base: str
) -> tuple[str, ...]:
    """The exact lines that serve an export; `path` and `base` as the reader will find them."""
    place = shlex.quote(str(path))
    if to == "merged":
        code = f"from transformers import pipeline; print(pipeline('text-generation', {str(path)!r})('Hello'))"
        return (f"vllm serve {place}", _python(code))
    if to == "delta":
        code = (
            "from ultraedit.export import apply_delta; from ultraedit.model.load import load; "
            f"model, tokenizer = load({base!r}, dtype={_dtype(edited)!r}); apply_delta(model, {str(path)!r})"
        )
        return (_python(code),)
    if report is None:
        return ()
    if to == "lora" and report.rank not in RANKS:  # more than vLLM takes
        code = (
            "from peft import PeftModel; from transformers import AutoModelForCausalLM; "
            f"base = AutoModelForCausalLM.from_pretrained({base!r}, dtype='auto'); "
            f"model = PeftModel.from_pretrained(base, {str(path)!r})"
        )
        return (_python(code),)
    if to == "lora":
        return (
            f"vllm serve {shlex.quote(base)} --enable-lora --lora-modules edited={place} "
            f"--max-lora-rank {report.rank}",
        )
    return (f"llama-server -m BASE.gguf --lora {place}",)


def _python(code: str) -> str:
    """A shell line; in plain double quotes where they are safe, because people read and change it."""
    plain = not any(c in code for c in '"$`\\!')
    return f'python -c "{code}"' if plain else f"python -c {shlex.quote(code)}"


def _dtype(edited: Edited) -> str:
    return str(edited.weights[0].original.dtype).removeprefix("torch.")


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
