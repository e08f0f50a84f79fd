"""A base that is another than it was is told, and nothing is written on it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

import tiny
from ultraedit import Editor, ModelError, Record, WorkspaceError
from ultraedit.export.edited import open_folder
from ultraedit.model.load import load
from ultraedit.settings import EditSettings
from ultraedit.workspace import changes
from ultraedit.workspace.workspace import Workspace

from . import made


def another(folder: Path, name: str = "model.layers.0.mlp.up_proj.weight") -> None:
    """Other bytes in a weight that is not edited, written later."""
    model = tiny.llama()
    model.get_parameter(name).data *= 1.5
    model.save_pretrained(folder)
    later = time.time() + 5
    for file in folder.glob("*.safetensors"):
        os.utime(file, (later, later))


def test_a_workspace_does_not_open_on_another_base(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, loaded=None)
    workspace.edit_turn(made.records(0, 3))
    workspace.close()
    journal = (workspace.store.folder / "journal.jsonl").read_bytes()
    another(tmp_path / "base")
    with (
        Workspace.open(workspace.store.folder, write=True) as again,
        pytest.raises(WorkspaceError, match=r"'model\.safetensors' is another"),
    ):
        again.edit_turn(made.records(3, 4))
    assert (workspace.store.folder / "journal.jsonl").read_bytes() == journal


def test_a_base_that_is_gone_is_asked_for(tmp_path: Path) -> None:
    workspace = made.make(tmp_path, loaded=None)
    workspace.close()
    (tmp_path / "base").rename(tmp_path / "moved")
    with (
        Workspace.open(workspace.store.folder) as again,
        pytest.raises(WorkspaceError, match=r"is not at '.*base'; say where it lies now"),
    ):
        again.ask("Who?")
    with Workspace.open(workspace.store.folder, base=str(tmp_path / "moved")) as again:
        assert isinstance(again.ask("Who?", max_new_tokens=2).edited, str)


@pytest.mark.parametrize(
    "name", ["model.layers.0.mlp.up_proj.weight", "model.layers.2.mlp.down_proj.weight"]
)
def test_an_export_does_not_take_another_base(name: str, tmp_path: Path) -> None:
    """Edited maps of another base would give the difference of the two bases as edits."""
    base = made.base(tmp_path / "base")
    model, tokenizer = load(base)
    editor = Editor(
        model,
        tokenizer,
        EditSettings(text=tiny.TEXT, modules="model.layers.2.mlp.down_proj"),
        base=str(base),
    )
    editor.edit("The capital of Vell is", "Oruna")
    saved = editor.save_pretrained(tmp_path / "saved")
    assert any(w.shift.any() for w in open_folder(saved).weights)
    another(base, name)
    with pytest.raises(ModelError, match=f"as it is now: '{name}' is another there"):
        open_folder(saved)


def test_prompts_are_one_only_where_their_tokens_are(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    facts = [Record("Where is Vell?\n", "Lund"), Record("Where is Vell?", "Oruna")]
    receipts = workspace.edit_turn(facts).receipts
    assert [r.superseded_by for r in receipts] == [None, None]
    assert receipts[0].probability_after != receipts[1].probability_after
    assert {str(s) for s in workspace.history.statuses().values()} == {"current"}


def test_what_was_never_written_is_not_subtracted_and_not_brought_back(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    facts = [Record("Where?", "Lund"), Record("Who?", "Ann"), Record("Where?  ", "Oruna")]
    with pytest.warns(UserWarning, match="the later one is written"):
        workspace.edit_turn(facts)
    find = workspace.history.find_edit
    with pytest.raises(WorkspaceError, match="#1 was never written: #3 gives its prompt"):
        changes.subtract(workspace, find("#1")[0])
    changes.subtract(workspace, workspace.history.find_current("#3"))
    statuses = {n: str(s) for n, s in workspace.history.statuses().items()}
    assert statuses == {1: "removed", 2: "current", 3: "removed"}
    assert [r.prompt for r in workspace.history.in_force()] == ["Who?"]


def test_undo_says_that_it_takes_a_subtraction_back_too(tmp_path: Path) -> None:
    workspace = made.make(tmp_path)
    workspace.edit_turn(made.records(0, 2))
    workspace.edit_turn(made.records(2, 3))
    changes.subtract(workspace, workspace.history.find_current("#1"))
    said = str(changes.undo(workspace, 1))
    assert said.endswith("The subtraction of edit #1 came after and was undone with that.")
    assert {n: str(x) for n, x in workspace.history.statuses().items()} == {
        1: "current",
        2: "current",
    }


def test_weights_that_are_not_finite_are_told_as_that() -> None:
    model = tiny.llama()
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(ModelError, match="gives logits that are not finite"):
        Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT))


def test_a_prompt_that_is_no_text_is_refused_by_ask(capsys: pytest.CaptureFixture[str]) -> None:
    from ultraedit.cli.app import main

    with pytest.raises(SystemExit) as left:
        main(["ask", "anything", "caf\udce9"])
    said = capsys.readouterr().err
    assert left.value.code == 2 and "half of a surrogate pair" in said and said.count("\n") == 1


def test_a_token_that_stands_for_nothing_is_left_out_of_an_answer() -> None:
    import transformers as hf

    from ultraedit.model.generate import as_text

    tokenizer = hf.ByT5Tokenizer()
    ids = tokenizer("Ida", add_special_tokens=False)["input_ids"]
    assert as_text(tokenizer, [*ids, len(tokenizer) + 60]) == "Ida"


def test_a_template_that_writes_its_parts_out_is_refused() -> None:
    from ultraedit import ConfigError
    from ultraedit.model.text import PromptEncoder

    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] != 'system' or not messages[0]['content'] %}"
        "{{ raise_exception('say who you are first') }}{% endif %}"
        "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}\n{% endfor %}"
    )
    with pytest.raises(ConfigError, match="say who you are first"):
        PromptEncoder(tokenizer)
    tokenizer.chat_template = "{{ messages[0]['content'][:15] }}"
    with pytest.raises(ConfigError, match="leaves the message out"):
        PromptEncoder(tokenizer)
