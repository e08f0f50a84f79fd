"""Every causal class of transformers, built tiny: it edits, or is refused in one sentence that says what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

import causal_classes
import tiny
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ModelError
from ultraedit.model.generate import greedy_ids
from ultraedit.settings import EditSettings

EXPERTS = "its experts are packed into one tensor"
NO_MLP = "cannot be edited by structure"
COLUMNS = "because it counts by column"
BETWEEN = "does more between its blocks than hand hidden states on"
REFUSED: dict[str, str] = {
    "BltConfig": COLUMNS,
    "CpmAntConfig": "is no causal language model",
    "DbrxConfig": NO_MLP,
    "DeepseekV4Config": COLUMNS,
    "FalconMambaConfig": NO_MLP,
    "GitConfig": "does not run block 2 on text alone",
    "GlmMoeDsaConfig": COLUMNS,
    "HYV4Config": BETWEEN,
    "HrmTextConfig": BETWEEN,
    "JetMoeConfig": EXPERTS,
    "Mamba2Config": NO_MLP,
    "MambaConfig": NO_MLP,
    "MusicgenConfig": "does not run on a token of text and nothing else",
    "MusicgenMelodyConfig": "does not run on a token of text and nothing else",
    "ProphetNetConfig": "is no causal language model",
    "ReformerConfig": BETWEEN,
    "RwkvConfig": NO_MLP,
    "XLMConfig": NO_MLP,
    "XLNetConfig": "is no causal language model",
    "Zamba2Config": NO_MLP,
    "ZayaConfig": BETWEEN,
    "xLSTMConfig": COLUMNS,
}
"""Config class -> what the sentence says."""

INTERNAL = ("has no attribute", "NoneType", "unpack", "subscriptable", "non-singleton", "\n")

CLASSES = causal_classes.classes()


@pytest.mark.parametrize(
    ("config_class", "model_class"),
    [pair for pair in CLASSES if pair[0].__name__ not in causal_classes.NOT_TINY],
    ids=lambda c: c.__name__,
)
def test_every_causal_class_edits_or_is_refused_in_one_sentence(
    config_class: type[PreTrainedConfig],
    model_class: type[PreTrainedModel],
    byte_tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = causal_classes.build(config_class, model_class)
    told = REFUSED.get(config_class.__name__)
    if told is not None:
        with pytest.raises(ModelError, match=told) as refusal:
            Editor(model, byte_tokenizer, EditSettings(text=tiny.TEXT, form="raw"))
        message = str(refusal.value)
        assert type(model).__name__ in message or "'" in message
        assert message.endswith(".")
        assert not any(words in message for words in INTERNAL)
        return
    editor = Editor(model, byte_tokenizer, EditSettings(text=tiny.TEXT, form="raw", steps=2))
    receipt = editor.edit_turn([Record("The mayor of Tasp is", "Ida")]).receipts[0]
    assert receipt.probability_before < receipt.probability_after <= 1
    assert all(0 < moved < 1 for moved in receipt.moved.values())
    prompts = [byte_tokenizer(p)["input_ids"] for p in ("The mayor of Tasp is", "Bram")]
    for prompt, found in zip(prompts, greedy_ids(model, prompts, 3, frozenset()), strict=True):
        assert found == tiny.greedy_by_hand(model, prompt, 3)


@pytest.mark.parametrize(
    ("config_class", "model_class"),
    [pair for pair in CLASSES if pair[0].__name__ in causal_classes.NOT_TINY],
    ids=lambda c: c.__name__,
)
def test_what_cannot_be_built_tiny_is_listed_with_its_reason(
    config_class: type[PreTrainedConfig], model_class: type[PreTrainedModel]
) -> None:
    reason = causal_classes.NOT_TINY[config_class.__name__]
    with pytest.raises(Exception, match=reason):
        causal_classes.build(config_class, model_class)


def test_the_table_of_the_documentation_is_of_these_classes() -> None:
    """`benchmarks/causal_classes.py --write docs/models.md` makes it anew."""
    page = (Path(__file__).parents[2] / "docs/models.md").read_text(encoding="utf-8")
    table = page.partition("<!-- classes -->")[2].partition("<!-- end of classes -->")[0]
    rows = [line.split(" | ", 3) for line in table.splitlines() if line.startswith("| ")][1:]
    named = [(f"{config.removeprefix('| ')}Config", model) for config, model, _, _ in rows]
    assert named == [(c.__name__, m.__name__) for c, m in CLASSES]
    for (name, _), (_, _, kind, what) in zip(named, rows, strict=True):
        if name in REFUSED:
            assert kind not in ("edits", "not built tiny") and REFUSED[name] in what, name
        else:
            assert kind == ("not built tiny" if name in causal_classes.NOT_TINY else "edits"), name
