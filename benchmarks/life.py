"""A life: stream edits into a workspace, kill the process again and again, undo half, export, compare.

    python benchmarks/life.py --data facts.jsonl --edits 2000 --kills 20 --out life

Two workspaces get the same edits: one without interruption in this process, one by `ultraedit edit --file` in
processes that are killed with SIGKILL at random moments.  Afterwards both must be the same to the bit.  Then half of
the edits are undone, the model is exported as merged, delta and lora, each is loaded again, and its answers are
compared with the live model's.  Prints one JSON object; exits with 1 if anything differs.

Bits depend on the thread count: run with OMP_NUM_THREADS set, so that all processes use the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit.settings import Loading
from ultraedit.workspace.config import WorkspaceSettings

if TYPE_CHECKING:
    from ultraedit.workspace.workspace import Workspace

VOLATILE = {"time", "seconds", "previous", "digest"}
ASKED = 40
TOKENS = 16


def write_facts(data: str, edits: int, path: Path) -> list[str]:
    """The first records as a file of plain facts; returns their prompts."""
    from ultraedit import read_records

    rows = [{"prompt": r.prompt, "target": r.target} for r in islice(read_records(data), edits)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [row["prompt"] for row in rows]


def stream_and_kill(
    folder: Path, facts: Path, turn: int, kills: int, turns: int, pause: float, seed: int
) -> int:
    """Run `ultraedit edit --file` until it ends by itself, killing it up to `kills` times; returns how often it was.

    Each kill comes up to `pause` seconds after a turn of its own draw.  Two turns are always left by then, so that a
    stream ends before its kill only where a turn takes less than half of `pause`.
    """
    from ultraedit.workspace.store import Store

    dice = random.Random(seed)
    aims = sorted(dice.uniform(0, turns - 1) for _ in range(kills))
    command = [sys.executable, "-m", "ultraedit", "edit", str(folder), "--file", str(facts)]
    killed = 0
    while True:
        life = subprocess.Popen(
            [*command, "--turn-size", str(turn), "--json"], stdout=subprocess.PIPE
        )
        if killed < kills:
            aim = aims[killed]
            while life.poll() is None and Store.open(folder).head < int(aim):
                time.sleep(0.05)
            while life.poll() is None and not (folder / "lock").read_bytes():
                time.sleep(0.05)  # it has not opened the workspace yet
            time.sleep(dice.uniform(0, pause))
            life.kill()
        life.communicate()
        if life.returncode == 0:
            return killed
        if life.returncode != -signal.SIGKILL:
            raise SystemExit(f"the stream ended with {life.returncode}")
        killed += 1
        print(f"killed {killed} at turn {Store.open(folder).head}", file=sys.stderr, flush=True)


def outcome(folder: Path) -> list[object]:
    """What two runs of the same edits must share: every tensor file, and the journal but for times."""
    files = [
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        for name in ("states", "pairs")
        for path in sorted((folder / name).iterdir())
    ]
    lines = (folder / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [{k: v for k, v in json.loads(x).items() if k not in VOLATILE} for x in lines]
    return [files, rows]


def answers(model: Any, workspace: Workspace, prompts: list[str]) -> list[str]:
    from ultraedit.model.generate import answer

    return answer(model, workspace.editor.tokenizer, prompts, workspace.editor.form, TOKENS)


def exports(
    workspace: Workspace, out: Path, prompts: list[str], live: list[str]
) -> dict[str, dict[str, Any]]:
    """Per kind of export, after loading it with what users load it with: answers equal to the live model's."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from ultraedit.export import AdapterSettings, apply_delta, export
    from ultraedit.model.load import load

    config = workspace.store.config
    name = config.base_location(workspace.store.folder)
    records = workspace.history.in_force()
    made: dict[str, dict[str, Any]] = {}
    for kind in ("merged", "delta", "lora"):
        target = out / kind
        shutil.rmtree(target, ignore_errors=True)
        done = export(
            workspace.editor, kind, target, records=records, adapter=AdapterSettings(force=True)
        )
        if kind == "merged":
            model = AutoModelForCausalLM.from_pretrained(target, dtype="auto").eval()
        else:
            model, _ = load(name, dtype=config.base.dtype)
            if kind == "delta":
                apply_delta(model, target)
            else:
                model = PeftModel.from_pretrained(model, target).eval().base_model.model
        found = answers(model, workspace, prompts)
        made[kind] = {
            "same": sum(a == b for a, b in zip(found, live, strict=True)),
            "megabytes": round(done.bytes / 1e6, 1),
        }
        if done.adapter is not None:
            e = done.adapter.efficacy
            made[kind] |= {
                "rank": done.adapter.rank,
                "least_energy": min(done.adapter.energy.values()),
                "tried": done.adapter.tried,
                "right_kept": [e.both, e.live],
            }
    return made


def life(arguments: argparse.Namespace) -> dict[str, Any]:
    from ultraedit import Workspace, create_workspace
    from ultraedit.workspace import changes
    from ultraedit.workspace.stream import stream
    from ultraedit.workspace.verify import verify

    out: Path = arguments.out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    facts = out / "facts.jsonl"
    prompts = write_facts(arguments.data, arguments.edits, facts)
    turns = -(-len(prompts) // arguments.turn_size)
    with create_workspace(
        out / "killed",
        arguments.model,
        keep=WorkspaceSettings(undo_window=max(turns // 2 + 1, 10)),
        loading=Loading(arguments.dtype),
    ) as made:
        shutil.copytree(out / "killed", out / "whole")
        (out / "whole" / "lock").write_bytes(b"")
        loaded = (made.editor.model, made.editor.tokenizer)
    found: dict[str, Any] = {"edits": len(prompts), "turns": turns}
    half = turns // 2
    kept = prompts[: half * arguments.turn_size]
    asked = kept[:: max(len(kept) // ASKED, 1)][:ASKED]
    with Workspace.open(out / "whole", write=True, loaded=loaded) as whole:
        started = time.perf_counter()
        learned = 0
        for done in stream(whole, facts, turn_size=arguments.turn_size):
            learned += sum(r.learned for r in done.receipts)
        found |= {"seconds": time.perf_counter() - started, "learned": learned}
        with whole.at(str(half)):
            expected = answers(whole.editor.model, whole, asked)
        ended = outcome(out / "whole")
        changes.rollback(whole, "base")  # gives the model back unedited
    pause = found["seconds"] / turns
    found["kills"] = stream_and_kill(
        out / "killed", facts, arguments.turn_size, arguments.kills, turns, pause, arguments.seed
    )
    found["bit_identical"] = outcome(out / "killed") == ended
    found["sound"] = verify(out / "killed").sound
    found["bytes_on_disk"] = sum(p.stat().st_size for p in (out / "killed").rglob("*"))
    with Workspace.open(out / "killed", write=True, loaded=loaded) as killed:
        change = changes.undo(killed, len(prompts) - len(kept))
        found["undone"] = {"edits": change.edits, "exact": change.exact, "turn": change.head}
        live = answers(killed.editor.model, killed, asked)
        found["asked"] = len(asked)
        found["same_after_undo"] = sum(a == b for a, b in zip(live, expected, strict=True))
        found["exports"] = exports(killed, out, asked, live)
        everything = sum(row.edits for row in killed.history.lineage())
        changes.undo(killed, everything)
        found["base_again"] = base_again(killed)
    return found


def base_again(workspace: Workspace) -> bool:
    from ultraedit.workspace.tensors import live_digest

    return live_digest(workspace.editor.weights) == workspace.store.config.base.edited_sha256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", required=True, help="anything `ultraedit edit --file` takes")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--dtype", default="fastest")
    parser.add_argument("--edits", type=int, default=2000)
    parser.add_argument("--turn-size", type=int, default=100)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    found = life(parser.parse_args())
    print(json.dumps(found, indent=1))
    good = found["bit_identical"] and found["sound"] and found["base_again"]
    same = [kind["same"] for kind in found["exports"].values()]
    raise SystemExit(0 if good and {found["same_after_undo"], *same} == {found["asked"]} else 1)


if __name__ == "__main__":
    main()
