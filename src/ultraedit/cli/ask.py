"""`ultraedit ask MODEL PROMPT`: a model's greedy answer, and another model's beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ultraedit.cli.common import (
    ConfigOption,
    FormOption,
    JsonOption,
    ModelArgument,
    SeedOption,
    TokensOption,
    seed_all,
)
from ultraedit.cli.options import with_options
from ultraedit.cli.screen import print_json
from ultraedit.cli.workspaces import AtOption, BaseOption, opened, refuse_elsewhere, refuse_fixed
from ultraedit.errors import DataError
from ultraedit.model.form import FormChoice
from ultraedit.settings import Loading


@dataclass(frozen=True)
class Asked:
    """One model's answer, and the form the prompt was put in."""

    model: str
    form: FormChoice
    answer: str


@with_options(loading=Loading())
def ask(  # noqa: PLR0913 - each option is a parameter
    model: ModelArgument,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What to ask.")],
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="BASE", help="Ask this model too and show both."),
    ] = None,
    at: AtOption = None,
    base: BaseOption = None,
    form: FormOption = "auto",
    max_new_tokens: TokensOption = 32,
    *,
    loading: Loading,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Ask a model, and another one beside it.

    --compare names the other one: the unedited base, say.

    With --form auto a model that this program edited is asked in the form it was edited in.

    Where MODEL is a workspace, --compare names a mark or turn of it, "base" for the unedited model.
    """
    from ultraedit import arguments
    from ultraedit.workspace.config import is_workspace

    arguments.text(prompt, "the prompt")
    if not prompt.strip():
        raise DataError("the prompt is empty; give the question the model is asked.")
    if is_workspace(model):
        from ultraedit.cli.edit_workspace import ask_workspace

        refuse_fixed(model, {"dtype": loading.dtype != "auto", "quantize": loading.quantize})
        seed_all(seed)
        ask_workspace(
            opened(Path(model), base, loading, write=False),
            prompt,
            at=at,
            compare=compare,
            form=form,
            max_new_tokens=max_new_tokens,
            json_output=json_output,
        )
        return
    refuse_elsewhere(model, {"at": at, "base": base})
    seed_all(seed)

    def of(name: str, form: FormChoice) -> Asked:
        return _answer(name, prompt, form, max_new_tokens, loading)

    first = of(model, form)
    # the base is asked in the very same form, or the two answers could not be compared
    second = None if compare is None else of(compare, first.form)
    if json_output:
        found: dict[str, Any] = {"prompt": prompt, "model": model, "form": first.form}
        found["answer"] = first.answer
        if second is not None:
            found |= {"base": compare, "base_answer": second.answer}
        print_json(found)
    elif second is None:
        typer.echo(first.answer)
    else:
        width = max(len(model), len(second.model))
        for asked in (second, first):
            typer.echo(f"{asked.model:<{width}}  {asked.answer}")


def _answer(
    name: str,
    prompt: str,
    form: FormChoice,
    max_new_tokens: int,
    loading: Loading,
) -> Asked:
    """Load, ask, let go: two models are never held at once."""
    from ultraedit.editing.notes import read_notes
    from ultraedit.model.context import context_length
    from ultraedit.model.generate import answer
    from ultraedit.model.load import load
    from ultraedit.model.text import PromptEncoder

    notes = read_notes(name) if form == "auto" else None
    model, tokenizer = load(name, **asdict(loading))
    encoder = PromptEncoder(tokenizer, form if notes is None else notes.form)
    asked = encoder.form
    length = len(encoder.prompt(prompt))
    context = context_length(model, tokenizer)
    if length >= context:
        raise DataError(
            f"the prompt takes {length} tokens and the context of '{name}' is {context}; shorten it."
        )
    return Asked(name, asked, answer(model, tokenizer, [prompt], asked, max_new_tokens)[0])
