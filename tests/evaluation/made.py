"""Results made up for tests of files and reports: plausible shapes, no model behind them."""

from __future__ import annotations

import math
import random

from ultraedit.evaluation.chat.protocol import ChatProtocol
from ultraedit.evaluation.intervals import Figure
from ultraedit.evaluation.protocol import Protocol
from ultraedit.evaluation.retention import AgeBucket, Retention
from ultraedit.evaluation.schema import (
    Chat,
    ChatChange,
    Checkpoint,
    DataInfo,
    Hardware,
    ModelInfo,
    ModuleShift,
    Pace,
    Result,
    Run,
    Sample,
    SideEffect,
)

TIMES = (400, 800, 1200, 1600, 2000)
START = {
    "efficacy.token_accuracy": 0.177,
    "efficacy.generated_exact": 0.025,
    "efficacy.generated_contains": 0.03,
    "generalization.token_accuracy": 0.175,
    "generalization.generated_exact": 0.022,
    "generalization.generated_contains": 0.03,
    "persona.token_accuracy": 0.16,
    "portability.token_accuracy": 0.21,
    "locality.token_accuracy": 0.221,
    "drift.perplexity": 58.7,
}


def fig(value: float, half: float = 0.02, n: int = 2000) -> Figure:
    return Figure(value, value - half, value + half, n, "bootstrap", "made up for a test")


def a_run(preset: str, strength: float, harm: float, order: int = 0) -> Run:
    rng = random.Random(f"{preset}{order}")
    checkpoints = []
    for k, t in enumerate(TIMES):
        gone = harm * k / 10
        figures = {
            "efficacy.token_accuracy": fig(strength - gone + rng.gauss(0, 0.01)),
            "efficacy.generated_exact": fig(strength * 0.8 - gone + rng.gauss(0, 0.01)),
            "generalization.token_accuracy": fig(strength * 0.75 - gone + rng.gauss(0, 0.01)),
            "generalization.generated_exact": fig(strength * 0.4 - gone / 2 + rng.gauss(0, 0.01)),
            "efficacy.generated_contains": fig(strength * 0.85 - gone),
            "generalization.generated_contains": fig(strength * 0.5 - gone / 2),
            "persona.generated_exact": fig(strength * 0.3 - gone / 4),
            "portability.generated_exact": fig(0.1 - gone / 10),
            "persona.token_accuracy": fig(strength * 0.6 - gone),
            "portability.token_accuracy": fig(0.2 - gone / 4),
            "locality.token_accuracy": fig(0.221 - harm * t / 30000),
            "locality.agreement": fig(0.8 - harm * t / 3000),
            "locality.kl": fig(0.1 + harm * t / 1000),
            "drift.perplexity": fig(58.7 * math.exp(harm * t / 2000), 2.5, 80),
            "drift.perplexity_ratio": fig(math.exp(harm * t / 2000), 0.02, 80),
            "drift.agreement": fig(0.95 - harm * t / 8000, 0.01, 80),
        }
        age = [
            AgeBucket(i * t // 4, (i + 1) * t // 4 - 1, fig(strength - harm * i / 20))
            for i in range(4)
        ]
        checkpoints.append(
            Checkpoint(edits=t, figures=figures, by_age={"efficacy.token_accuracy": age})
        )
    matrix = tuple(
        tuple(None if t < b else strength - harm * (t - b) / 12 for t in range(len(TIMES)))
        for b in range(len(TIMES))
    )
    kept = Retention(
        family="efficacy",
        metric="token_accuracy",
        times=TIMES,
        matrix=matrix,
        immediate=fig(strength),
        final=fig(strength - harm / 6),
        forgetting=fig(harm / 6),
    )
    return Run(
        preset=preset,
        order=order,
        seed=0,
        settings={"eta": 1e-3, "steps": 4},
        checkpoints=checkpoints,
        retention=[kept],
        pace=[
            Pace(
                edits=t,
                seconds=t / 70,
                edits_per_second=70 + rng.gauss(0, 2),
                resident_bytes=1_400_000_000 + rng.randrange(10_000_000),
            )
            for t in range(100, 2001, 100)
        ],
        modules=[
            ModuleShift(
                name=f"model.layers.{i}.mlp.down_proj",
                shift_norm=harm * i / 10,
                relative=harm * i / 400,
                spectrum=[harm * 3 / (j + 1) ** 0.7 for j in range(32)],
            )
            for i in (26, 27, 28)
        ],
        samples=[
            Sample(
                edit_id=f"zsre:{i}",
                family="efficacy",
                prompt="Which river system contains Charity Creek?",
                answer="Chichester River",
                before="The Missouri <River> & its basin",
                after="Chichester River",
            )
            for i in range(4)
        ],
        side_effects=[
            SideEffect(
                edit_id=f"zsre:{i}",
                family="locality",
                prompt="nq question: who won the battle of britain in ww2",
                answer="Britain",
                before="The Royal Air Force won the Battle of Britain",
                after="Chichester River",
                kl=4.2 - i / 4,
            )
            for i in range(12)
        ],
        alarms=["amber at 1,600 edits: canary perplexity ratio 1.4"] if harm > 0.5 else [],
    )


CHAT = {
    "right": 0.4,
    "kept": 0.9,
    "kl": 0.05,
    "same_first_token": 0.95,
    "instructions": 0.3,
    "edits.bare": 0.97,
    "edits.raw": 0.2,
}


def with_chat(result: Result) -> Result:
    """The same with the chat of every run's first order measured."""
    unedited = {name: fig(0.4, n=100) for name in ("right", "instructions", "edits.bare")}
    runs = []
    for run in result.runs:
        last = run.checkpoints[-1]
        figures = last.figures | {f"chat.{name}": fig(v, n=100) for name, v in CHAT.items()}
        chat = Chat(
            protocol=ChatProtocol(),
            requests=100,
            right_before=40,
            right_now=38,
            kept=36,
            unedited=unedited,
            by_kind={kind: {"kl": fig(0.05)} for kind in ("fact", "turns")},
            changed=[
                ChatChange(
                    id="fact-009",
                    kind="fact",
                    request="What is the capital of <Poland>?",
                    before="Warsaw.",
                    after="Lirosk.",
                    right_before=True,
                    right_now=False,
                    copied="Lirosk",
                    kl=3.21,
                )
            ],
            left_out={"system-001": "this template takes no system message."},
        )
        changed = [*run.checkpoints[:-1], last.model_copy(update={"figures": figures})]
        runs.append(run.model_copy(update={"checkpoints": changed, "chat": chat}))
    first = result.unedited.figures | {f"chat.{name}": f for name, f in unedited.items()}
    start = result.unedited.model_copy(update={"figures": first})
    return result.model_copy(update={"runs": runs, "unedited": start})


def a_result(orders: int = 1, presets: tuple[str, ...] = ("default", "paper")) -> Result:
    runs = []
    for preset in presets:
        strength, harm = {"default": (0.93, 0.12), "paper": (0.65, 0.8)}[preset]
        runs += [a_run(preset, strength, harm, order) for order in range(orders)]
    return Result(
        kind="bench",
        title="zsRE, 2,000 edits, SmolLM2-135M",
        created="2026-11-23T16:00:00+00:00",
        model=ModelInfo(
            name="smollm2",
            dtype="bfloat16",
            parameters=134_515_008,
            architecture="LlamaForCausalLM",
        ),
        data=DataInfo(name="zsre_3k.json", form="zsre-mend", rows=2145, edits=2000),
        protocol=Protocol(),
        config={"turn-size": 100, "edits": 2000, "presets": list(presets), "seed": 0},
        versions={"python": "3.11.7", "torch": "2.13.0"},
        hardware=Hardware(device="a processor", cores=2, memory_bytes=24 * 2**30, threads=2),
        unedited=Checkpoint(edits=0, figures={k: fig(v) for k, v in START.items()}),
        runs=runs,
    )
