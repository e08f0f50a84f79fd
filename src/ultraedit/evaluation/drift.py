"""How far the model has moved on ordinary text that no edit is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ultraedit.errors import DataError
from ultraedit.evaluation.intervals import Figure, exponential, figure
from ultraedit.evaluation.text import TokenPair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from ultraedit.evaluation.scorer import Scorer, TokenScores


def windows(tokenizer: PreTrainedTokenizerBase, text: str, window: int) -> list[TokenPair]:
    """Fixed, non-overlapping windows of `window` tokens, the last partial one left out.

    Each is a `TokenPair` whose prompt is the window's first token (after the beginning-of-text token,
    if the tokenizer adds one) and whose target is the rest.  Raises DataError when the text is
    shorter than one window.
    """
    start = tuple(int(i) for i in tokenizer("")["input_ids"])  # type: ignore[union-attr]
    ids = [int(i) for i in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]  # type: ignore[union-attr]
    if len(ids) < window:
        raise DataError(
            f"the drift text has {len(ids)} tokens, fewer than one window of {window}: use a "
            "longer text."
        )
    return [
        TokenPair((*start, ids[at]), tuple(ids[at + 1 : at + window]))
        for at in range(0, len(ids) - window + 1, window)
    ]


def drift_figures(
    now: Sequence[TokenScores], before: Sequence[TokenScores] | None, *, form: str, seed: int
) -> dict[str, Figure]:
    """Perplexity, and beside the unedited model its ratio and the top-1 agreement.  One unit is
    one window."""
    size = len(now[0].target) if now else 0
    where = f"fixed windows of {size + 1} tokens of the {form}"
    loss = [-s.mean_logprob for s in now]
    figures = {"drift.perplexity": exponential(figure(loss, f"perplexity; {where}", seed=seed))}
    if before is not None:
        shift = [a + b.mean_logprob for a, b in zip(loss, before, strict=True)]
        same = [
            float((a.argmax == b.argmax).double().mean()) for a, b in zip(now, before, strict=True)
        ]
        figures["drift.perplexity_ratio"] = exponential(
            figure(
                shift, f"perplexity over the unedited model's, paired by window; {where}", seed=seed
            )
        )
        figures["drift.agreement"] = figure(
            same, f"share of tokens whose first choice is the unedited model's; {where}", seed=seed
        )
    return figures


def drift(
    scorer: Scorer,
    text: Sequence[TokenPair],
    before: Sequence[TokenScores] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Figure]:
    """Scores `text` (from `windows`) and compares with `before`, the unedited model's scores of
    the same windows."""
    return drift_figures(scorer.score(text), before, form="drift text", seed=seed)
