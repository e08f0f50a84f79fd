"""The model card: what was run, with which settings, and what it is not good for.

Everything in it is read from the run; what is not known is left out rather than guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ultraedit.errors import DataError
from ultraedit.evaluation.environment import versions
from ultraedit.export.delta import weight_digest
from ultraedit.export.edited import Edited
from ultraedit.export.merged import HUB_ID
from ultraedit.io.digest import dtype_name
from ultraedit.model.load import resolve
from ultraedit.model.smollm2 import ALIAS

if TYPE_CHECKING:
    from ultraedit.evaluation.schema import Result
    from ultraedit.export.lora import AdapterReport

SMOLLM2 = ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")
"""Where the embedded model comes from, and its licence."""
PACKAGES = ("ultraedit", "torch", "transformers", "safetensors")


def model_card(
    edited: Edited,
    kind: str,
    *,
    result: Result | None = None,
    adapter: AdapterReport | None = None,
    serve: Sequence[str] = (),
) -> str:
    """The text of a README.md with a YAML front matter.

    kind: "merged", "delta", "lora" or "card".  result: scores measured by `ultraedit eval` or `bench`.
    Raises DataError where the result is of another model or its stream had another number of edits.
    """
    if result is not None:
        _check_result(edited, result)
    name = public_name(edited.base)
    parts = [
        "---\n" + yaml.safe_dump(_front(edited, kind), sort_keys=False).rstrip() + "\n---",
        f"# {name}, edited",
        _summary(edited, name),
        *(["## Use\n\n```\n" + "\n".join(serve) + "\n```"] if serve else []),
        "## Scores\n\n"
        + (_scores(result) if result else "None were given when this card was written."),
        *([_adapter(adapter)] if adapter else []),
        "## Method\n\n" + _settings(edited),
        "## Weights that differ from the base\n\n" + _weights(edited),
        "## Limits\n\n" + _limits(edited),
        "## Versions\n\n" + _versions(),
    ]
    return "\n\n".join(parts) + "\n"


def base_id(base: str) -> str | None:
    """The hub id behind a base, where there is one."""
    if base == ALIAS and not Path(base).is_dir():
        return SMOLLM2[0]
    return base if HUB_ID.fullmatch(base) and not Path(base).exists() else None


def public_name(base: str) -> str:
    """The hub id, else the folder's name: a card that travels does not say where things lay on one machine."""
    return base_id(base) or Path(base).name


def base_licence(base: str) -> str | None:
    """As the base's own card states it, if that lies on this machine."""
    if base == ALIAS and not Path(base).is_dir():
        return SMOLLM2[1]
    readme = Path(resolve(base)) / "README.md"
    if base_id(base):
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(base, "README.md")
        if not isinstance(cached, str):
            return None
        readme = Path(cached)
    return _front_of(readme).get("license")


def _front_of(readme: Path) -> dict[str, Any]:
    if not readme.is_file():
        return {}
    text = readme.read_text(encoding="utf-8", errors="replace")
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    try:
        found = yaml.safe_load(text[4 : text.index("\n---", 4)])
    except yaml.YAMLError:  # someone else's card: not ours to complain about
        return {}
    return found if isinstance(found, dict) else {}


def _front(edited: Edited, kind: str) -> dict[str, Any]:
    front: dict[str, Any] = {}
    if base := base_id(edited.base):
        front["base_model"] = base
        front["base_model_relation"] = "adapter" if kind == "lora" else "finetune"
    if licence := base_licence(edited.base):
        front["license"] = licence
    front["library_name"] = "peft" if kind == "lora" else "transformers"
    front["pipeline_tag"] = "text-generation"
    front["tags"] = ["ultraedit", "model-editing", "knowledge-editing"]
    if kind == "lora":
        front["tags"].append("lora")
    return front


def _summary(edited: Edited, name: str) -> str:
    form = "through the chat template" if edited.form == "chat" else "as raw text"
    return (
        f"{name} with {edited.edits:,} edits written into {len(edited.weights)} of its linear maps in "
        f"{edited.turns:,} turns by [UltraEdit](https://arxiv.org/abs/2505.14679). The edits were put to the model "
        f"{form}; ask it the same way. All other weights are those of the base."
    )


def _scores(result: Result) -> str:
    last = result.runs[0].checkpoints[-1]
    lines = [
        f"Measured {result.created} on {result.data.name} after {last.edits:,} edits, the unedited model by the same "
        "code on the same questions. The range is the 95 % interval.",
        "",
        "| score | unedited | edited | n |",
        "|---|---|---|---|",
    ]
    for name, figure in last.figures.items():
        before = result.unedited.figures.get(name)
        lines.append(
            f"| {name} | {f'{before.value:.3f}' if before else ''} | {figure.value:.3f} ({figure.low:.3f} to "
            f"{figure.high:.3f}) | {figure.n:,} |"
        )
    return "\n".join(lines)


def _adapter(report: AdapterReport) -> str:
    e = report.efficacy
    rows = "\n".join(f"| {name} | {kept:.4f} |" for name, kept in report.energy.items())
    return (
        f"## What the adapter keeps\n\nRank {report.rank}, alpha {report.rank}. Of {e.scored:,} edits scored "
        f"teacher-forced (every answer token the most likely one) the merged model answers {e.live:,} right, this "
        f"adapter on the base {e.exported:,}, and {e.both:,} of the former. Generated freely, {e.same} of {e.asked} "
        f"answers are the merged model's to the letter.\n\n| module | energy kept |\n|---|---|\n"
        f"{rows}"
    )


def _settings(edited: Edited) -> str:
    rows = "\n".join(f"| {key} | {value} |" for key, value in edited.method.__dict__.items())
    return f"| setting | value |\n|---|---|\n{rows}"


def _weights(edited: Edited) -> str:
    rows = "\n".join(
        f"| {w.name} | {dtype_name(w.original)} {' x '.join(map(str, w.original.shape))} | {w.shift_ratio():.4f} | "
        f"`{weight_digest(w.original)}` |"
        for w in edited.weights
    )
    return (
        "Moved is the size of the change over the size of the weight (Frobenius). The digest is the sha256 of the "
        f"unedited weight.\n\n| module | weight | moved | base digest |\n|---|---|---|---|\n{rows}"
    )


def _limits(edited: Edited) -> str:
    lines = [
        "Edits change what the model says to the edited questions and to wordings near them; they do not make it "
        "reason from the new facts reliably.",
        "Unrelated answers can change too, and more so with more edits: measure locality and drift on your own "
        "questions before you rely on it.",
        "The edits were not checked for truth.",
    ]
    if not edited.method.end_token:
        lines.append(
            "The end of an answer was not edited: the model may run on after a right answer."
        )
    return "\n".join(f"- {line}" for line in lines)


def _versions() -> str:
    found = versions()
    named = ", ".join(f"{package} {found[package]}" for package in PACKAGES if package in found)
    return f"Python {found['python']}, {named}."


def _check_result(edited: Edited, result: Result) -> None:
    if not result.runs or not result.runs[0].checkpoints:
        raise DataError(f'the result "{result.title}" holds no scores of an edited model.')
    measured = result.runs[0].checkpoints[-1].edits
    if measured != edited.edits:
        raise DataError(
            f'the result "{result.title}" was measured after {measured:,} edits and this model holds '
            f"{edited.edits:,}: give the result of this model."
        )
