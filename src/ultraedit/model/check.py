"""Whether a model can be run in parts at all, and if not, what it is, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ultraedit.errors import ModelError
from ultraedit.model.batch import SHARED_LEAST, Batch
from ultraedit.model.columns import counts_by_column
from ultraedit.model.context import context_length
from ultraedit.model.stack import FAILURES, Stack

Pairs = Sequence[tuple[list[int], list[int]]]

NOT_CAUSAL = (
    "is no causal language model: what it says of a token depends on the tokens behind it (a BERT kind needs "
    "is_decoder=True in its config)"
)

BY_COLUMN = "gives other logits for a text that is padded to the length of its batch, because it counts by column"

HALF_ROUNDING = 0.35
"""Share of the logits' spread by which rounding may move them in half precision."""


@torch.no_grad()
def check_split(stack: Stack) -> None:
    """Compare the split run with the model's own forward on random tokens, and that with one text at a time.

    Raises ModelError where they differ: a family that does work between its blocks cannot be split.  Leaves
    `stack.share` at 0 for a family whose shared tokens come out otherwise.
    """
    embeddings = stack.decoder.get_input_embeddings()
    vocab = int(embeddings.weight.shape[0])  # type: ignore[union-attr]
    generator = torch.Generator().manual_seed(0)
    draw = torch.randint(0, vocab, (SHARED_LEAST + 10,), generator=generator).tolist()
    begin, pairs = draw[10:], [(draw[:5], draw[5:7]), (draw[7:9], draw[9:10])]
    shared = [([*begin, *prompt], target) for prompt, target in pairs]
    name = type(stack.model).__name__
    if max(len(p) + len(t) for p, t in shared) > context_length(stack.model):
        stack.share = 0
    else:  # longer rows find more: a family may count in fours
        pairs = [shared[0], (draw[1:10], draw[10:11])]
    if not torch.isfinite(_alone(stack, pairs[0][0])).all():
        raise ModelError(
            f"{name} gives logits that are not finite, so one of its weights is NaN or infinite or its dtype is too "
            "narrow; load a sound checkpoint, or use dtype float32."
        )
    by_column = False
    if not _rows_alone_agree(stack, pairs):
        what = _what_it_is(stack, pairs)
        # positions put in before the blocks are right in the trunk, whose rows are run without padding in front
        by_column = what == BY_COLUMN and stack.first > 0 and counts_by_column(stack.model)
        if not by_column:
            raise ModelError(f"{name} {what}, so it cannot be edited.")
        stack.share = 0
    wrong = _wrong(stack, pairs, by_column)
    if wrong is not None:
        # blocks that keep other things than keys and values (state-space, linear attention, an index of tokens)
        stack.cached, stack.share = False, 0
        wrong = _wrong(stack, pairs, by_column)
    if by_column and (
        wrong is not None or not stack.cached
    ):  # a padded column would go into what is kept
        raise ModelError(f"{name} {BY_COLUMN}, so it cannot be edited.")
    if wrong is not None:
        if not _causal(stack, pairs):
            raise ModelError(f"{name} {NOT_CAUSAL}, so it cannot be edited.")
        raise ModelError(
            f"{name} cannot be run in parts, as editing needs, because it does more between its blocks than hand "
            f"hidden states on{wrong}."
        )
    if stack.share and _wrong(stack, shared) is not None:
        stack.share = 0


def _whole(stack: Stack, batch: Batch) -> Float[Tensor, "B T vocab"]:
    """The model's own logits of the suffix columns."""
    return stack.model(
        input_ids=batch.ids,
        attention_mask=batch.mask.long(),
        position_ids=stack.numbered(batch.positions),
        use_cache=False,
    ).logits[:, batch.prefix_ids.shape[1] :]


def _wrong(stack: Stack, pairs: Pairs, by_column: bool = False) -> str | None:
    """What is wrong with running these in parts; None where it gives the model's own logits, of each text alone where
    they hang on the column."""
    batch = stack.batch(pairs, range(len(pairs)))
    try:
        split = stack.head(stack.top(batch, stack.trunk(batch))[batch.answers])
        if by_column:
            texts = [(len(p) - 1, [*p, *t[:-1]]) for p, t in pairs]
            own = torch.cat([_alone(stack, ids)[start:] for start, ids in texts])
        else:
            own = _whole(stack, batch)[batch.answers]
        difference = apart(split, own)
    except FAILURES:
        return ""
    return (
        None if difference is None else f": its logits are then others, by up to {difference:.3g}"
    )


def apart(found: Tensor, wanted: Tensor) -> float | None:
    """The largest difference, where it is more than rounding."""
    spread = float(wanted.float().std()) + 1e-6
    error = float((found.float() - wanted.float()).abs().max())
    tolerance = 0.2 if wanted.dtype in (torch.bfloat16, torch.float16) else 2e-3
    return None if error <= tolerance * max(spread, 1.0) else error


def _alone(stack: Stack, ids: Sequence[int]) -> Float[Tensor, "C vocab"]:
    """The model's own logits of one text, with nothing but its tokens said."""
    row = torch.tensor([list(ids)], device=stack.device)
    return stack.model(input_ids=row, use_cache=False).logits[0]


def _rows_alone_agree(stack: Stack, pairs: Pairs) -> bool:
    """Whether a padded batch with its positions written down gives what each text gives alone."""
    whole = _whole(stack, stack.batch(pairs, range(len(pairs))))
    for row, (prompt, target) in zip(whole, pairs, strict=True):
        if not _alike(row[-1], _alone(stack, [*prompt, *target[:-1]])[-1]):
            return False
    return True


def _alike(found: Float[Tensor, " vocab"], wanted: Float[Tensor, " vocab"]) -> bool:
    """Whether two runs of one text in batches of other shapes differ by rounding alone.

    In half precision each shape rounds in its own way and 30 blocks add it up: SmolLM2's logits of random tokens in
    bfloat16 are 11 % of their spread apart.  Families that count by column, built tiny, are apart by 8 % (DeepSeek-V4)
    to 100 % (BART) of it: in half precision those of less than a third pass, and `_wrong` looks at them next.
    """
    if wanted.dtype not in (torch.bfloat16, torch.float16):
        return apart(found, wanted) is None
    error = (found.float() - wanted.float()).square().mean().sqrt()
    return float(error) <= HALF_ROUNDING * float(wanted.float().std())


def _what_it_is(stack: Stack, pairs: Pairs) -> str:
    """Why a batch gives other logits than its texts alone."""
    if not _causal(stack, pairs):
        return NOT_CAUSAL
    prompt, target = pairs[0]
    given = _whole(stack, stack.batch(pairs[:1], [0]))[0, -1]
    if not _alike(given, _alone(stack, [*prompt, *target[:-1]])[-1]):
        return "counts positions in its own way and gives other logits where they are given to it"
    return BY_COLUMN


def _causal(stack: Stack, pairs: Pairs) -> bool:
    prompt = pairs[0][0]
    return _alike(_alone(stack, prompt[:-1])[-1], _alone(stack, prompt)[-2])
