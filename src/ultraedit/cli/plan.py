"""`ultraedit plan MODEL`: the memory that editing takes, by part, without loading any weights."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ultraedit.cli.screen import print_json, say
from ultraedit.defaults import MICRO_BATCH

if TYPE_CHECKING:
    from ultraedit.planning.plan import Plan


class Dtype(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Bits(StrEnum):
    four = "4bit"
    eight = "8bit"


def plan(  # noqa: PLR0913 - each option is a parameter
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A folder or hub id (only its config is read), or a bundled shape: mistral-7b, llama-3-8b, "
            "qwen2.5-7b, gpt-j-6b, phi-4, gemma-3-27b.",
        ),
    ],
    turn_size: Annotated[int, typer.Option(help="Edits a turn.")] = 100,
    micro_batch: Annotated[int, typer.Option(help="Edits run together.")] = MICRO_BATCH,
    tokens_per_edit: Annotated[int, typer.Option(help="Tokens of prompt and answer.")] = 30,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the weights.")] = Dtype.bfloat16,
    quantize: Annotated[
        Bits | None, typer.Option(help="Hold linear weights that are not edited in 4 or 8 bits.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Editing method.")] = "default",
    modules: Annotated[
        list[str] | None,
        typer.Option(help="auto, paper, or names and globs of linear maps; may be repeated."),
    ] = None,
    budget: Annotated[str | None, typer.Option(help="Memory there is, like 16GB.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say how much memory editing MODEL takes, part by part, and whether it fits.

    Exits with 0, with 1 when a budget is given and the plan does not fit, and with 2 on bad input.
    """
    from ultraedit.model.load import DTYPES
    from ultraedit.planning.budget import parse_bytes
    from ultraedit.planning.configs import read_config
    from ultraedit.planning.plan import Workload
    from ultraedit.planning.plan import plan as work_out

    limit = None if budget is None else parse_bytes(budget)
    workload = Workload(
        DTYPES[dtype.value],
        turn_size=turn_size,
        micro_batch=micro_batch,
        tokens_per_edit=tokens_per_edit,
        quantize=quantize.value if quantize else None,
    )
    chosen: str | list[str] | None = modules[0] if modules and len(modules) == 1 else modules
    from ultraedit.methods.presets import method

    found = work_out(model, read_config(model), method(preset), workload, chosen)
    if json_output:
        print_json(_as_dict(found, limit))
    else:
        say(_text(found, limit))
    if limit is not None and found.peak > limit:
        raise typer.Exit(1)


def _as_dict(plan: Plan, limit: int | None) -> dict[str, Any]:
    data = asdict(plan)
    data["workload"]["dtype"] = str(plan.workload.dtype).removeprefix("torch.")
    return data | {"budget": limit, "fits": None if limit is None else plan.peak <= limit}


def _text(plan: Plan, limit: int | None) -> str:
    w = plan.workload
    bits = f", frozen linear weights in {w.quantize[0]} bits" if w.quantize else ""
    lines = [
        f"{plan.model}: {plan.parameters / 1e9:.2f} billion parameters in "
        f"{str(w.dtype).removeprefix('torch.')}{bits}",
        f"edits {len(plan.modules)} modules ({plan.edited_parameters / 1e6:.0f} million parameters): "
        + _modules(plan.modules),
        f"{w.turn_size} edits a turn, {w.micro_batch} together, {w.tokens_per_edit} tokens each",
        f"peak, while {'measuring text' if plan.moment == 'measuring text' else 'writing a turn'}:",
        *(f"  {part:<24}{size / 1e9:>8.2f} GB" for part, size in plan.parts.items()),
        f"  {'all':<24}{plan.peak / 1e9:>8.2f} GB",
    ]
    if limit is not None:
        verdict = "fits" if plan.peak <= limit else "DOES NOT FIT"
        lines.append(f"{verdict} {limit / 1e9:.2f} GB ({(limit - plan.peak) / 1e9:+.2f} GB)")
    lines.append(
        "Counted: every live tensor of the editing code.  Not counted: Python and its libraries, the loading of the "
        "weights, and scratch inside single operators."
    )
    return "\n".join(lines)


def _modules(names: tuple[str, ...]) -> str:
    first, last = names[0], names[-1]
    return first if first == last else f"{first} to {last}"
