"""General ability: lm-evaluation-harness on the live model, over local files or the hub.

The harness is an extra (`pip install 'ultraedit[ability]'`).  Its task files ship in `tasks/`; each
says which columns its JSON lines need.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit.errors import ConfigError, DataError
from ultraedit.evaluation.intervals import Figure, wilson
from ultraedit.quiet import no_progress_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_FOLDER = Path(__file__).parent / "tasks"


def shipped() -> list[str]:
    """Names of the tasks that can be run over a local file."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def ability(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Mapping[str, Path | None],
    *,
    limit: int | None = None,
    batch: int = 8,
    chat: bool = False,
    seed: int = 0,
) -> dict[str, Figure]:
    """Runs tasks on a live model: `<task>.<metric>` -> figure, the interval by the harness's
    standard error.

    `tasks` maps a name of `shipped()` to a file of JSON lines (.gz too), or the harness's own task
    name to None, which takes its data from the hub.  `limit` takes the first rows only.  Raises
    ConfigError for an unknown task or a missing harness, DataError for a file that is not there or
    has other columns.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the harness's own, at import
            from lm_eval import __version__
            from lm_eval.evaluator import simple_evaluate
            from lm_eval.models.huggingface import HFLM
            from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise ConfigError(
            "general ability needs lm-evaluation-harness, which is not installed: "
            "pip install 'ultraedit[ability]'."
        ) from error
    local = {name: path for name, path in tasks.items() if path is not None}
    for name, path in local.items():
        if name not in shipped():
            raise ConfigError(
                f"no task {name!r} for local files: choose from {', '.join(shipped())}."
            )
        if not path.is_file():
            raise DataError(f"the file of task {name!r} is not there: {str(path)!r}.")
    with warnings.catch_warnings(), no_progress_bars():
        warnings.simplefilter("ignore")
        wanted: list[Any] = [
            _task(name) | {"dataset_kwargs": {"data_files": {"test": str(path)}}}
            for name, path in local.items()
        ] + [name for name in tasks if name not in local]
        # the harness's own few thousand tasks are only read through where one of them is wanted
        manager = TaskManager(include_defaults=len(local) < len(tasks))
        live = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)  # type: ignore[arg-type]
        try:
            found = simple_evaluate(
                model=live,
                tasks=wanted,
                limit=limit,
                apply_chat_template=chat,
                bootstrap_iters=1000,
                log_samples=False,
                task_manager=manager,
                random_seed=seed,
                numpy_random_seed=seed,
                torch_random_seed=seed,
                fewshot_random_seed=seed,
            )
        except (KeyError, ValueError, OSError) as error:
            raise DataError(
                f"the ability tasks {', '.join(tasks)} could not be run: {error}."
            ) from error
    return _figures(dict(found or {}), str(__version__))


def _task(name: str) -> dict[str, Any]:
    """A shipped task file as the harness's own configuration, `include` and `!function`
    resolved."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Plain YAML, and functions of the modules beside the task files."""

    def function(_loader: yaml.SafeLoader, node: yaml.Node) -> Any:
        module, _, wanted = str(node.value).partition(".")
        return getattr(import_module(f"ultraedit.evaluation.tasks.{module}"), wanted)

    Loader.add_constructor("!function", function)
    text = (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.load(text, Loader)
    base = config.pop("include", None)
    return config if base is None else _task(Path(base).stem) | config


def _figures(found: dict[str, Any], version: str) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for task, scores in found["results"].items():
        if task not in found["n-samples"]:  # a group: its tasks are there one by one
            continue
        count = int(found["n-samples"][task]["effective"])
        shots = found["n-shot"].get(task, 0)
        for name, value in scores.items():
            metric, _, chosen = name.partition(",")
            if metric.endswith("_stderr") or not isinstance(value, float):
                continue
            label = f"{task.removeprefix('ultraedit_')}.{metric}"
            label += "" if chosen in ("", "none") else f".{chosen}"
            words = f"lm-evaluation-harness {version}, task {task}, {shots}-shot, {metric}"
            error = scores.get(f"{metric}_stderr,{chosen}")
            figures[label] = _figure(value, error, count, words)
    return figures


def _figure(value: float, error: Any, count: int, words: str) -> Figure:
    """By the harness's standard error; by Wilson where it has none (a single question gives
    NaN)."""
    if isinstance(error, float) and math.isfinite(error):
        half = 1.96 * error
        return Figure(value, value - half, value + half, count, "standard error", words)
    return Figure(value, *wilson(round(value * count), count), count, "wilson", words)
