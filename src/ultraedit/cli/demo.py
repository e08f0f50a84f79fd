"""`ultraedit demo`: stream the bundled facts into a real model, and show what that did to it."""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ultraedit.cli.common import (
    ConfigOption,
    JsonOption,
    SeedOption,
    TurnSizeOption,
    memory_mb,
    repeated_warnings,
    seed_all,
)
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import console, note, print_json, say
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ultraedit.data.record import Record
    from ultraedit.editing.editor import Editor, EditSummary
    from ultraedit.evaluation import Baseline, Evaluation, Evaluator
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.chat.scores import ChatScores
    from ultraedit.evaluation.scorer import Scorer
    from ultraedit.model.form import PromptForm

SHOWN = 10
"""Before/after answers printed."""
DRIFT_CHARACTERS = 20_000
"""Of the bundled drift text: about 4,000 tokens, enough to see a change of a percent."""
CHAT_REQUESTS = 40
"""Bundled chat requests asked, the same ones in every demo: `ultraedit bench` asks all of them."""


@with_options(without=("trust_remote_code", "quantize"), loading=Loading(dtype="fastest"))
def demo(  # noqa: PLR0913 - each option is a parameter
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Save the edited model here.")
    ] = Path("demo-out"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what --out holds.")
    ] = False,
    model: Annotated[
        str, typer.Option("--model", help="Edit this folder or hub id instead.")
    ] = "smollm2",
    turn_size: TurnSizeOption = 100,
    scored: Annotated[
        int, typer.Option("--scored", min=1, help="Facts scored, drawn by the seed.")
    ] = 60,
    generated: Annotated[
        int, typer.Option("--generated", min=1, help="Of those, facts answered in free generation.")
    ] = 15,
    *,
    loading: Loading,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Stream the bundled facts into a small real model.

    Prints ten answers before and after, the scores beside the unedited model's, and saves the edited model.
    """
    from ultraedit.editing.save import refuse_target

    refuse_target(out, overwrite, model)
    started = time.perf_counter()
    seed_all(seed)

    from ultraedit.cli.progress import edit_progress
    from ultraedit.data.bundled import facts_path
    from ultraedit.data.read import read_records
    from ultraedit.editing.editor import Editor

    records = list(read_records(facts_path()))
    note(f"Loading {model} ...")
    editor = Editor.from_pretrained(model, **asdict(loading))
    note(f"Asking the unedited model about {min(scored, len(records))} of {len(records)} facts ...")
    scores = DemoScores(editor, records, scored, generated, seed)
    measure = _chat_measure(editor, scores.scorer, generated, seed)
    before_chat = None
    if measure is not None:
        note(f"Asking the unedited model {len(measure.requests)} other things ...")
        before_chat = measure.unedited(records)
    note(f"Editing {len(records)} facts, {turn_size} a turn ...")
    with repeated_warnings(), edit_progress(len(records), json_output) as advance:
        summary = editor.edit_many(records, turn_size=turn_size, on_turn=advance)
    note("Asking the edited model the same ...")
    after = scores.after(summary.edits)
    chat = None
    if measure is not None and before_chat is not None:
        chat = measure.edited(before_chat, records)
    editor.save_pretrained(out, overwrite=overwrite)
    same, asked = _ask_again(editor, out, loading, [r.prompt for r in scores.sample[:SHOWN]])
    result: dict[str, Any] = {
        "model": model,
        "dtype": str(editor.model.dtype).removeprefix("torch."),
        "edited_in": editor.form,
        "seed": seed,
        "summary": asdict(summary),
        "answers": _answers(after[editor.form]),
        "scores": scores.figures(after),
        "chat": None if chat is None else _chat(chat),
        "out": str(out),
        "answers_asked_after_reload": asked,
        "answers_same_after_reload": same,
        "memory_mb": memory_mb(),
        "seconds": time.perf_counter() - started,
    }
    if json_output:
        print_json(result)
    else:
        _print(result, summary)
    if same != asked:
        note(f"error: the saved model gives {asked - same} of {asked} answers differently.")
        raise typer.Exit(1)


class DemoScores:
    """The same questions in both forms, asked before and after the edits.

    `generated` of the `scored` facts are answered in free generation too: that is the costly part.
    """

    def __init__(
        self, editor: Editor, records: Sequence[Record], scored: int, generated: int, seed: int
    ) -> None:
        import random

        from ultraedit.data.bundled import drift_text
        from ultraedit.evaluation import Evaluator, Protocol
        from ultraedit.evaluation.frozen import FrozenScorer

        chosen = random.Random(seed).sample(range(len(records)), min(scored, len(records)))
        self.positions = sorted(chosen)
        self.sample = [records[i] for i in self.positions]
        other: PromptForm = "raw" if editor.form == "chat" else "chat"
        has_template = bool(getattr(editor.tokenizer, "chat_template", None))
        self.forms: list[PromptForm] = [editor.form, other] if has_template else ["raw"]
        # what no edit changes is computed once
        self.scorer: Scorer = FrozenScorer(editor.stack)
        self.evaluators: dict[PromptForm, Evaluator] = {}
        self.before: dict[PromptForm, Baseline] = {}
        for form in self.forms:
            protocol = Protocol(
                form=form,
                generated_records=generated,
                generate=("efficacy", "generalization", "locality"),
                seed=seed,
            )
            evaluator = Evaluator(editor.model, editor.tokenizer, protocol, scorer=self.scorer)
            # ordinary text has no form: its drift is measured once
            text = drift_text()[:DRIFT_CHARACTERS] if form == self.forms[0] else None
            self.evaluators[form] = evaluator
            self.before[form] = evaluator.baseline(self.sample, text)

    def after(self, edits: int) -> dict[PromptForm, Evaluation]:
        return {
            form: evaluator.evaluate(
                self.sample, self.before[form], edits=edits, positions=self.positions
            )
            for form, evaluator in self.evaluators.items()
        }

    def figures(self, after: dict[PromptForm, Evaluation]) -> dict[str, dict[str, dict[str, Any]]]:
        """Form -> score -> {"unedited", "edited"}, each with its interval, n and protocol."""
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for form in self.forms:
            old, new = self.before[form].evaluation.figures, after[form].figures
            found[form] = {
                name: {
                    "unedited": asdict(old[name]) if name in old else None,
                    "edited": asdict(figure),
                }
                for name, figure in new.items()
            }
        return found


def _chat_measure(editor: Editor, scorer: Scorer, generated: int, seed: int) -> ChatMeasure | None:
    """What asks a part of the bundled requests; None where the edits are not in chat form."""
    from ultraedit.data.requests import bundled_requests, spread
    from ultraedit.evaluation.chat.measure import ChatMeasure
    from ultraedit.evaluation.chat.protocol import ChatProtocol

    if editor.form != "chat":
        return None
    return ChatMeasure(
        editor.model,
        editor.tokenizer,
        ChatProtocol(edits=generated, seed=seed),
        requests=spread(bundled_requests(), CHAT_REQUESTS),
        scorer=scorer,
    )


def _chat(scores: ChatScores) -> dict[str, Any]:
    """The chat for machines: counts, figures beside the unedited model's, the answers that changed most."""
    from ultraedit.evaluation.chat.summary import chat_part

    part = chat_part(scores).model_dump(mode="json")
    return part | {"edited": {name: asdict(figure) for name, figure in scores.edited.items()}}


def _answers(after: Evaluation) -> list[dict[str, Any]]:
    """The first ten facts, in the stream's order, that were answered in free generation."""
    rows = [r for r in after.rows if r.family == "efficacy" and r.generated is not None]
    return [
        {"prompt": r.prompt, "target": r.answer, "before": r.before, "after": r.generated}
        for r in rows[:SHOWN]
    ]


def _ask_again(editor: Editor, out: Path, loading: Loading, prompts: list[str]) -> tuple[int, int]:
    """Load the saved folder as anybody would, and count the answers that are the same."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ultraedit.model.generate import answer
    from ultraedit.quiet import no_progress_bars

    live = answer(editor.model, editor.tokenizer, prompts, editor.form)
    with no_progress_bars():
        where: Any = loading.device_map or loading.device
        loaded = AutoModelForCausalLM.from_pretrained(out, device_map=where).eval()
        tokenizer = AutoTokenizer.from_pretrained(out)
    again = answer(loaded, tokenizer, prompts, editor.form)
    return sum(a == b for a, b in zip(live, again, strict=True)), len(prompts)


def _print(result: dict[str, Any], summary: EditSummary) -> None:
    from ultraedit.cli.demo_tables import answer_table, chat_table, score_tables

    say(
        f"{summary.edits} edits in {summary.turns} turns, {summary.seconds:.1f} s, "
        f"{summary.edits / summary.seconds:.1f} edits/s, {result['memory_mb']:,.0f} MB; {result['model']} in "
        f"{result['dtype']}, edited in {result['edited_in']} form."
    )
    console().print(answer_table(result["answers"]))
    for table in score_tables(result["scores"]):
        table.show()
    if result["chat"] is not None:
        chat_table(result["chat"]).show()
    say(
        f"{result['answers_same_after_reload']} of {result['answers_asked_after_reload']} answers are the same "
        f"after AutoModelForCausalLM.from_pretrained('{result['out']}').\n"
        f"{result['seconds']:.0f} s in all.  Ask it:"
    )
    asked = ["ultraedit", "ask", result["out"], result["answers"][0]["prompt"]]
    # not broken into lines, so that it can be copied
    typer.echo(f"  {shlex.join([*asked, '--compare', result['model']])}")
