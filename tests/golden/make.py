"""Made `tests/golden/v1`, once, with the program that first wrote format version 1: `python make.py FOLDER`.

A later format gets a folder of its own; this one is never made again.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tiny
from ultraedit.data.record import Record
from ultraedit.settings import EditSettings
from ultraedit.workspace import changes
from ultraedit.workspace.config import HealthConfig, WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.marks import set_mark
from ultraedit.workspace.stream import stream


def main(folder: Path) -> None:
    model = tiny.llama(hidden_size=16, intermediate_size=32, num_hidden_layers=2)
    model.save_pretrained(folder / "base")
    tiny.tokenizer().save_pretrained(folder / "base")
    facts = folder / "facts.jsonl"
    rows = [{"prompt": p, "target": t} for p, t in tiny.FACTS[:8]]
    facts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    health = HealthConfig(canary_tokens=128, reservoir_size=4, reservoir_every=2)
    made = create_workspace(
        folder / "ws",
        folder / "base",
        EditSettings(step=1.0, text=tiny.TEXT),
        keep=WorkspaceSettings(undo_window=3, health=health),
    )
    with made as workspace:
        for done in stream(workspace, facts, turn_size=3):
            if done.turn == 1:
                set_mark(workspace.store, "first")
        workspace.edit_turn([Record(tiny.FACTS[0][0], "Brell", id="again")])
        changes.undo(workspace, 2)
        changes.subtract(workspace, workspace.history.find_current("#5"))
        asked = [p for p, _ in tiny.FACTS[:4]]
        answers = {
            name: {p: workspace.ask(p, at=name, max_new_tokens=6).edited for p in asked}
            for name in ("base", "first", "head")
        }
    text = json.dumps(answers, indent=1, ensure_ascii=False)
    (folder / "answers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
