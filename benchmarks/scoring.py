"""Time of scoring edits on edit prompt, rephrase and locality, against three plain passes.

The plain passes are what most evaluation code does: one for each kind of prompt, micro-batches of 10 in file
order, logits at every position.  Beside them: the frozen scorer's first scoring (nothing kept yet), and a later
one, when only the top blocks and the head are left to run.

    python benchmarks/scoring.py --model smollm2 --data zsre_3k.json --edits 1000
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Sequence

import torch

from ultraedit.data import read_records
from ultraedit.evaluation.frozen import FrozenScorer
from ultraedit.evaluation.scorer import ModelScorer
from ultraedit.evaluation.text import TokenPair, encode_pair
from ultraedit.model.find import find_structure
from ultraedit.model.load import load
from ultraedit.model.select import select_projections
from ultraedit.model.stack import Stack


@torch.no_grad()
def plain_pass(
    model: torch.nn.Module, pairs: Sequence[TokenPair], size: int = 10
) -> list[list[float]]:
    """Log-probabilities of the answer tokens by full logits, micro-batches in the order given."""
    found = []
    for low in range(0, len(pairs), size):
        chunk = pairs[low : low + size]
        rows = [(*p.prompt, *p.target) for p in chunk]
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        logprobs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.log_softmax(-1)
        for i, p in enumerate(chunk):
            at = torch.arange(len(p.prompt) - 1, len(p.prompt) + len(p.target) - 1)
            found.append(logprobs[i, at, torch.tensor(p.target)].float().tolist())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, tokenizer = load(args.model, dtype=args.dtype)
    kinds: list[list[TokenPair]] = [[], [], []]
    usable = (r for r in read_records(args.data, strict=False) if r.rephrases and r.locality)
    for r in itertools.islice(usable, args.edits):
        gold = r.locality[0].answer or r.target
        texts = ((r.prompt, r.target), (r.rephrases[0], r.target), (r.locality[0].prompt, gold))
        for kind, (prompt, answer) in zip(kinds, texts, strict=True):
            kind.append(encode_pair(tokenizer, prompt, answer))
    every = [p for kind in kinds for p in kind]
    structure = find_structure(model)
    first = min(p.block for p in select_projections(model, structure, "auto"))
    frozen = FrozenScorer(Stack(model, structure, first))
    plain_pass(model, every[:50])  # the first pass pays for warming up
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}  # steadier than the clock on a busy machine

    def timed(name: str, run: object) -> object:
        start, cpu = time.perf_counter(), time.process_time()
        out = run()  # type: ignore[operator]
        seconds[name] = time.perf_counter() - start
        cpu_seconds[name] = time.process_time() - cpu
        return out

    wanted = timed(
        "three plain passes", lambda: [x for kind in kinds for x in plain_pass(model, kind)]
    )
    timed("plain scorer", lambda: ModelScorer(model).score(every))
    timed("frozen scorer, first scoring", lambda: frozen.score(every))
    got = timed("frozen scorer, later scoring", lambda: frozen.score(every))
    gaps = [
        abs(a - b)
        for want, have in zip(wanted, got, strict=True)  # type: ignore[arg-type]
        for a, b in zip(want, have.logprobs.tolist(), strict=True)
    ]
    first_name = "three plain passes"
    print(
        json.dumps(
            {
                "questions": len(every),
                "threads": args.threads,
                "dtype": args.dtype,
                "seconds": {k: round(v, 2) for k, v in seconds.items()},
                "ratio": {k: round(v / seconds[first_name], 3) for k, v in seconds.items()},
                "cpu_ratio": {
                    k: round(v / cpu_seconds[first_name], 3) for k, v in cpu_seconds.items()
                },
                "mean_gap_logprob": sum(gaps) / len(gaps),
                "kept_mib": round(frozen.used / 2**20, 1),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
