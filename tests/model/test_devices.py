"""Models that accelerate spread over devices or offloaded: the same bits, and no hook lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, SequentialHook, add_hook_to_module
from torch import nn
from transformers import PreTrainedModel

import tiny
from dispatched import leaves, offloaded
from ultraedit.data.record import Record
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, ModelError
from ultraedit.evaluation.scorer import ModelScorer
from ultraedit.evaluation.text import TokenPair
from ultraedit.export import apply_delta, export, open_folder
from ultraedit.model.devices import held_parameters, is_spread, pinned, runs_on
from ultraedit.model.load import load
from ultraedit.settings import EditSettings, Loading
from ultraedit.workspace.changes import undo
from ultraedit.workspace.create import create_workspace
from ultraedit.workspace.verify import verify
from ultraedit.workspace.workspace import Workspace
from workspace import made

TURN = [Record(*fact) for fact in tiny.FEW]
IDS = torch.tensor([[1, 40, 41, 42, 90, 91]])


def editor(model: PreTrainedModel, **settings: Any) -> Editor:
    return Editor(model, tiny.tokenizer(), EditSettings(text=tiny.TEXT, form="raw", **settings))


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def hooks_of(model: PreTrainedModel) -> dict[str, Any]:
    """What accelerate put on each module's instance."""
    hooked = [(n, m) for n, m in model.named_modules() if hasattr(m, "_hf_hook")]
    assert len(hooked) > 20
    return {n: (m.__dict__["forward"], m._hf_hook) for n, m in hooked}


def on_disk(*away: str) -> dict[str, str | int]:
    """A device map that offloads these blocks, and keeps everything else in memory."""
    places: dict[str, str | int] = dict.fromkeys(leaves(tiny.llama()), "cpu")
    return places | dict.fromkeys(away, "disk")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    tiny.llama().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def test_a_model_with_blocks_on_disk_is_edited_to_the_bit(tmp_path: Path) -> None:
    """A trunk block, one above the edited one, and the embedding."""
    whole = tiny.llama()
    away = ("model.layers.0", "model.layers.3", "model.embed_tokens")
    model = offloaded(tiny.llama(), tmp_path, *away)
    assert logits(model).equal(logits(whole))
    hooks = hooks_of(model)
    found, wanted = editor(model), editor(whole)
    for each in (found, wanted):
        each.edit_turn(TURN)
        each.edit("The mayor of Tasp is", "Ida")
    assert not any(w.parameter.is_meta for w in found.weights)
    for a, b in zip(found.weights, wanted.weights, strict=True):
        assert a.parameter.equal(b.parameter) and a.shift.equal(b.shift)
    states = found.statistics.state_dict(), wanted.statistics.state_dict()
    assert all(states[0][name].equal(value) for name, value in states[1].items())
    assert logits(model).equal(logits(whole))
    assert all("forward" in block.__dict__ for block in model.model.layers)
    assert hooks == hooks_of(model)
    assert model.model.layers[0].mlp.down_proj.weight.is_meta
    prompt = "The mayor of Tasp is"
    assert found.ask(prompt, compare=True) == wanted.ask(prompt, compare=True)
    found.reset()
    assert logits(model).equal(logits(tiny.llama()))


def test_two_devices_edit_as_one_does() -> None:
    """Half of the blocks on a second device, either way round, with real numbers (`tests/second_device.py`).

    Its own linear maps round in another order, so the weights agree to rounding.
    """
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "two_devices"],
        cwd=tests,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 4
    for what, seen in found.items():
        assert seen["devices"] == what.split(", ")[1:], what
        assert seen["apart"] < 1e-6, what
        assert seen["answers"] and seen["hooks"], what


def test_scores_of_an_offloaded_model(tmp_path: Path) -> None:
    pairs = [TokenPair((1, 40, 41), (42, 90)), TokenPair((1, 7), (8,))]
    found = ModelScorer(offloaded(tiny.llama(), tmp_path, "model.embed_tokens")).score(pairs)
    wanted = ModelScorer(tiny.llama()).score(pairs)
    assert all(a.logprobs.equal(b.logprobs) for a, b in zip(found, wanted, strict=True))


# -- where things are --------------------------------------------------------------------------------


def test_where_an_offloaded_module_runs(tmp_path: Path) -> None:
    model = offloaded(tiny.llama(), tmp_path, "model.embed_tokens")
    embedding = model.get_input_embeddings()
    assert embedding.weight.is_meta
    assert runs_on(embedding) == runs_on(model) == torch.device("cpu")
    assert is_spread(model) and not is_spread(tiny.llama())
    linear = nn.Linear(2, 2, device="meta")
    assert runs_on(linear) == torch.device("meta")
    for place, told in ((1, "cuda:1"), ("cuda:0", "cuda:0"), (torch.device("cpu"), "cpu")):
        hook = AlignDevicesHook(execution_device=place, offload=True, weights_map={})
        linear._hf_hook = SequentialHook(hook)
        assert runs_on(linear) == torch.device(told)


def test_offloaded_parameters_are_read_from_where_they_lie(tmp_path: Path) -> None:
    model = offloaded(tiny.llama(), tmp_path, "model.layers.0")
    whole = dict(tiny.llama().named_parameters())
    assert all(value.equal(whole[name]) for name, value in held_parameters(model))


@pytest.mark.parametrize(
    ("name", "block"),
    [("model.layers.2.mlp.experts.1.down", "model.layers.2"), ("lm_head", "lm_head")],
)
def test_what_a_map_names_to_pin_a_module(name: str, block: str) -> None:
    assert pinned(name) == block


# -- refusals ----------------------------------------------------------------------------------------


def test_an_edited_module_that_is_offloaded_is_named_with_the_way_to_pin_it(tmp_path: Path) -> None:
    model = offloaded(tiny.llama(), tmp_path, "model.layers.2")
    told = r"'model\.layers\.2\.mlp\.down_proj' is to be edited and is not in memory.*\"model\.layers\.2\": \"cpu\""
    with pytest.raises(ModelError, match=told):
        editor(model)
    assert editor(model, modules="model.layers.1.mlp.down_proj").edit("Who?", "Ida").moved


def test_a_hook_that_brings_no_weights_brings_none() -> None:
    model = tiny.llama()
    model.model.layers[1].to("meta")
    for module in model.modules():
        add_hook_to_module(module, AlignDevicesHook(execution_device=None))
    with pytest.raises(ModelError, match=r"layers\.1\..*nothing brings it from there"):
        editor(model)


BAD_MAPS = ["", "gpu", 3, [], {}, {"": None}, {"": True}, {"": -1}, {0: "cpu"}, "{a", "{a: [b]}"]


@pytest.mark.parametrize("value", BAD_MAPS, ids=str)
def test_what_is_no_map_is_quoted(saved: Path, value: object) -> None:
    with pytest.raises(ConfigError, match=r"device_map is .*; give auto, balanced"):
        Editor.from_pretrained(saved, device_map=value)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"device_map is .*; give auto, balanced"):
        Loading(device_map=value)  # type: ignore[arg-type]


def test_what_is_a_map() -> None:
    places = {"model.layers.0": 0, "": "cpu"}
    for given in (
        places,
        json.dumps(places),
        str(places),
        {"model.layers.0": 0, "": torch.device("cpu")},
    ):
        assert Loading(device_map=given).device_map == places  # type: ignore[arg-type]
    assert Loading(device_map="auto").device_map == "auto"


def test_a_device_beside_a_map_is_refused(saved: Path) -> None:
    told = "device is 'cuda' and device_map is 'auto'; give one of the two"
    with pytest.raises(ConfigError, match=told):
        Loading(device="cuda", device_map="auto")
    with pytest.raises(ConfigError, match=told):
        Editor.from_pretrained(saved, device="cuda", device_map="auto")
    with pytest.raises(ConfigError, match=told):
        Workspace.open(saved, device="cuda", device_map="auto")


def test_a_map_that_leaves_modules_out_is_refused(saved: Path) -> None:
    with pytest.raises(
        ModelError, match=r"cannot be spread by device_map .*name a device for every"
    ):
        load(saved, device_map={"model.layers": "cpu"})


@pytest.mark.parametrize("place", [0, "cuda:3", "chip", "meta"])
def test_a_device_that_is_not_here_is_named(saved: Path, place: str | int) -> None:
    said = f"cuda:{place}" if isinstance(place, int) else place
    with pytest.raises(ModelError, match=f'device "{said}" cannot be used here'):
        load(saved, device_map={"": place})


# -- loaded, saved, kept -----------------------------------------------------------------------------


def test_what_is_loaded_spread_is_saved_whole(saved: Path, tmp_path: Path) -> None:
    """The folder's files are those of the model that was never spread."""
    folders = []
    for name, device_map in (("spread", on_disk("model.layers.0")), ("whole", None)):
        e = Editor.from_pretrained(saved, EditSettings(text=tiny.TEXT), device_map=device_map)
        assert is_spread(e.model) == (name == "spread")
        e.edit("The mayor of Tasp is", "Ida")
        folders.append(e.save_pretrained(tmp_path / name))
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]
    for folder in folders:
        delta = tmp_path / f"{folder.name}-delta"
        export(open_folder(folder, device_map=on_disk("model.layers.1")), "delta", delta)
        again, _ = load(saved)
        apply_delta(again, delta)
        assert again.model.layers[2].mlp.down_proj.weight.equal(
            load(folder)[0].model.layers[2].mlp.down_proj.weight
        )


def test_automatic_maps_load(saved: Path) -> None:
    """Without an accelerator everything stays where it would be."""
    model, _ = load(saved, device_map="auto")
    assert not any(p.is_meta for p in model.parameters())
    assert logits(model).equal(logits(tiny.llama()))


def test_a_workspace_of_a_spread_model_opens_whole_and_the_other_way_round(tmp_path: Path) -> None:
    base = made.base(tmp_path / "base")
    settings = EditSettings(preset="fast", step=0.5, text=tiny.TEXT)
    heads = {}
    for name, device_map in (("spread", on_disk("model.layers.0")), ("whole", None)):
        folder = tmp_path / name
        with create_workspace(folder, base, settings, loading=Loading(device_map=device_map)) as ws:
            made.fill(ws, 2)
        other = None if device_map else on_disk("model.layers.3")
        with Workspace.open(folder, write=True, device_map=other) as ws:
            assert is_spread(ws.editor.model) == bool(other)
            ws.edit_turn(TURN)
            undo(ws, 1)
            heads[name] = [w.parameter.detach().clone() for w in ws.editor.weights]
            digests = [row.shifts for row in ws.store.journal.turns.values()]
            heads[name + " digests"] = digests
        assert verify(folder).sound
    assert all(a.equal(b) for a, b in zip(heads["spread"], heads["whole"], strict=True))
    assert heads["spread digests"] == heads["whole digests"]
