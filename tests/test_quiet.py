"""Other libraries' progress bars: none while this one loads or saves, and afterwards the user's own setting."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars
from tqdm.auto import tqdm
from transformers.utils import logging

import tiny
from ultraedit.editing.editor import Editor
from ultraedit.model.load import load
from ultraedit.quiet import no_progress_bars
from ultraedit.settings import EditSettings

HUB = import_module("huggingface_hub.utils.tqdm")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    drew, switches = logging.is_progress_bar_enabled(), dict(HUB.progress_bar_states)
    yield
    (logging.enable_progress_bar if drew else logging.disable_progress_bar)()
    HUB.progress_bar_states.clear()
    HUB.progress_bar_states.update(switches)


def state() -> tuple[bool, bool, dict[str, bool]]:
    switches = dict(HUB.progress_bar_states)
    return logging.is_progress_bar_enabled(), are_progress_bars_disabled(), switches


@pytest.mark.parametrize("transformers_on", [True, False])
@pytest.mark.parametrize("hub_on", [True, False])
def test_each_switch_is_as_the_user_left_it(transformers_on: bool, hub_on: bool) -> None:
    (logging.enable_progress_bar if transformers_on else logging.disable_progress_bar)()
    HUB.progress_bar_states.clear()
    disable_progress_bars("peft.some.group")
    if not hub_on:
        HUB.progress_bar_states["_global"] = False
    before = state()
    with no_progress_bars():
        assert not logging.is_progress_bar_enabled() and are_progress_bars_disabled()
    assert state() == before
    with pytest.raises(KeyError), no_progress_bars():
        raise KeyError
    assert state() == before


@pytest.mark.parametrize("decided", [True, False])
def test_the_hub_clients_environment_variable_gives_no_warning(
    decided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HUB, "HF_HUB_DISABLE_PROGRESS_BARS", decided)
    with no_progress_bars():  # a warning would be an error here
        pass


def test_a_bare_tqdm_draws_outside_and_not_inside() -> None:
    inside, outside = io.StringIO(), io.StringIO()
    with no_progress_bars():
        assert list(tqdm(range(3), file=inside, disable=False)) == [0, 1, 2]
    assert list(tqdm(range(3), file=outside)) == [0, 1, 2]
    assert inside.getvalue() == "" and "3/3" in outside.getvalue()


def test_loading_and_saving_leave_the_bars_switched_off(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    editor = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(text=tiny.TEXT))
    logging.disable_progress_bar()
    editor.save_pretrained(tmp_path / "made")
    load(tmp_path / "made")
    with pytest.raises(Exception, match="no folder"):
        load(tmp_path / "not" / "there")
    assert not logging.is_progress_bar_enabled() and are_progress_bars_disabled()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
