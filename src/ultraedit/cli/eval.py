"""`ultraedit eval`: score an edited model, saved or in a workspace, beside its unedited base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ultraedit.bench.scoring import Scoring
from ultraedit.cli.bench import (
    RequireOption,
    finish,
)
from ultraedit.cli.common import (
    ConfigOption,
    FormOption,
    JsonOption,
    ModelArgument,
    SeedOption,
    seed_all,
)
from ultraedit.cli.options import with_options
from ultraedit.cli.workspaces import AtOption, refuse_elsewhere, refuse_fixed
from ultraedit.errors import ConfigError
from ultraedit.settings import Loading

if TYPE_CHECKING:
    from ultraedit.bench.evaluate import EvalConfig
    from ultraedit.evaluation.schema import Result


@with_options(without=("quantize",), scoring=Scoring(), loading=Loading())
def eval_(  # noqa: PLR0913 - each option is a parameter
    model: ModelArgument,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="A file, a folder of Parquet shards, or hf:owner/name:split; a workspace needs none to be asked "
            "about its own edits.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--base", help="The unedited model.  [default: the one MODEL names]"),
    ] = None,
    at: AtOption = None,
    edits: Annotated[
        int | None,
        typer.Option(
            "--edits", min=1, help="Records asked about, from the first on.  [default: all]"
        ),
    ] = None,
    form: FormOption = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for results and report.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Throw away the results that --out holds.")
    ] = False,
    *,
    scoring: Scoring,
    require: RequireOption = None,
    loading: Loading,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Score an edited model, with its unedited base beside it, same questions, same code.

    With --form auto questions are put in the form the model was edited in.

    Where MODEL is a workspace and no --data is given, it is asked about the edits that are in force.
    """
    from ultraedit.bench.require import parse_requirements

    requirements = parse_requirements(require or [])
    seed_all(seed)
    from ultraedit.bench.evaluate import EvalConfig
    from ultraedit.workspace.config import is_workspace

    settings = EvalConfig(
        model=model,
        data=data,
        base=base,
        at=at,
        edits=edits,
        form=form,
        scoring=scoring,
        seed=seed,
        loading=loading,
    )
    evaluate = _workspace if is_workspace(model) else _saved
    result = evaluate(settings, out, overwrite, json_output)
    finish(result, out, requirements, json_output)


def _saved(config: EvalConfig, out: Path | None, overwrite: bool, quiet: bool) -> Result:
    from ultraedit.bench.evaluate import run_eval
    from ultraedit.bench.pair import SavedPair, base_of
    from ultraedit.cli.bench_progress import watching

    source = config.data
    if source is None:
        raise ConfigError(
            f"there is nothing to ask '{config.model}' about: name records with --data (only a workspace knows its "
            "own edits)."
        )
    refuse_elsewhere(config.model, {"at": config.at})
    base = base_of(config.model, config.base)
    config = replace(config, base=base)
    pair = SavedPair(config.model, base, config.loading)
    with watching(quiet) as observer:
        return run_eval(config, pair, source, out, observer.stage, overwrite=overwrite)


def _workspace(config: EvalConfig, out: Path | None, overwrite: bool, quiet: bool) -> Result:
    from ultraedit.bench.evaluate import run_eval
    from ultraedit.bench.pair import LivePair
    from ultraedit.cli.bench_progress import watching
    from ultraedit.workspace.workspace import Workspace

    refuse_fixed(config.model, {"dtype": config.loading.dtype != "auto"})
    with Workspace.open(
        config.model,
        base=config.base,
        device=config.loading.device,
        device_map=config.loading.device_map,
        trust_remote_code=config.loading.trust_remote_code,
    ) as workspace:
        turn = workspace.history.resolve(config.at or "head")
        # by its number, so that results in --out are never taken for those of a later state
        config = replace(config, at=str(turn))
        source = config.data or workspace.history.in_force(turn)
        if not source:
            raise ConfigError(
                f"'{config.model}' has no edits in force at turn {turn} to be asked about; name records with --data."
            )
        with watching(quiet) as observer:
            observer.stage("loading the base model")
            with workspace.at(config.at):
                pair = LivePair(workspace.editor)
                return run_eval(config, pair, source, out, observer.stage, overwrite=overwrite)
