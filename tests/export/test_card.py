"""card: front matter that the hub reads, and nothing that was not run."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from evaluation.made import a_result
from ultraedit.errors import DataError
from ultraedit.export import export, model_card
from ultraedit.export.card import base_id, base_licence, public_name
from ultraedit.export.delta import weight_digest


def _front(text: str) -> dict:
    assert text.startswith("---\n")
    return yaml.safe_load(text[4 : text.index("\n---\n", 4)])


def test_says_what_ran(llama, tmp_path):
    done = export(llama.editor, "card", tmp_path)
    text = done.path.read_text(encoding="utf-8")
    assert done.path == tmp_path / "README.md"
    assert "6 edits written into 12 of its linear maps in 1 turns" in text
    assert "| step | 0.1 |" in text
    for w in llama.editor.weights:
        assert w.name in text and weight_digest(w.original) in text
    assert "None were given" in text
    front = _front(text)
    assert front["library_name"] == "transformers"
    assert "ultraedit" in front["tags"]
    assert "license" not in front and "base_model" not in front  # a local folder has neither


def test_a_card_that_travels_names_no_path_of_this_machine(llama, tmp_path):
    for kind in ("merged", "delta", "lora"):
        llama.export(kind, tmp_path / kind, force=True)
        assert str(llama.base.parent) not in (tmp_path / kind / "README.md").read_text(
            encoding="utf-8"
        )
        assert str(tmp_path) not in (tmp_path / kind / "README.md").read_text(encoding="utf-8")


def test_an_adapters_card_says_what_it_keeps(llama, tmp_path):
    done = llama.export("lora", tmp_path / "a", rank=8, force=True)
    text = (tmp_path / "a" / "README.md").read_text(encoding="utf-8")
    assert done.adapter is not None
    assert f"this adapter on the base {done.adapter.efficacy.exported}" in text
    assert _front(text)["library_name"] == "peft"


def test_the_licence_is_the_one_the_base_states(llama, tmp_path):
    readme = llama.base / "README.md"
    readme.write_text("---\nlicense: mit\n---\n# A model\n", encoding="utf-8")
    try:
        assert _front(model_card(llama.editor, "card"))["license"] == "mit"
        readme.write_text("no front matter", encoding="utf-8")
        assert "license" not in _front(model_card(llama.editor, "card"))
    finally:
        readme.unlink()


def test_the_embedded_model_and_hub_ids_are_known_by_name():
    assert base_id("smollm2") == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert base_licence("smollm2") == "apache-2.0"
    assert base_id("owner/name") == "owner/name"
    assert base_id("/a/b/model") is None
    assert public_name("/a/b/model") == "model"


def test_scores_of_this_model_are_shown_beside_the_unedited_ones(llama):
    result = a_result()
    last = result.runs[0].checkpoints[-1]
    name, figure = next(iter(last.figures.items()))
    same = dataclasses.replace(_Shown(llama.editor), edits=last.edits)
    text = model_card(same, "card", result=result)
    assert f"| {name} |" in text and f"{figure.value:.3f}" in text
    with pytest.raises(DataError, match="give the result of this model"):
        model_card(dataclasses.replace(same, edits=last.edits + 1), "card", result=result)


def _Shown(editor):  # noqa: N802  (a case's editor with a settable number of edits)
    from ultraedit.export import EditedFolder

    return EditedFolder(
        editor.model,
        editor.tokenizer,
        editor.weights,
        editor.base,
        editor.form,
        editor.method,
        0,
        1,
    )
