"""Everything that can be passed to an Editor, tried: it works or says in one sentence what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tiny
from nonsense import SLOW, Unprintable, Walk, objects, shown
from ultraedit import Record
from ultraedit.data.record import Probe
from ultraedit.editing.editor import Editor
from ultraedit.methods.presets import PRESETS, method
from ultraedit.methods.ultraedit import UltraEdit
from ultraedit.settings import EditSettings


@pytest.fixture
def editor() -> Editor:
    made = Editor(tiny.llama(), tiny.tokenizer(), EditSettings(steps=1, text=tiny.TEXT))
    made.edit_turn([Record(*fact) for fact in tiny.FEW[:2]])
    return made


def test_what_is_passed_to_its_methods(
    editor: Editor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    walk = Walk()
    start = editor.snapshot()
    two = [Record(*fact) for fact in tiny.FEW[:2]]
    doors: dict[str, Callable[[Any], Any]] = {
        "edit prompt": lambda x: editor.edit(x, "Oruna"),
        "edit target": lambda x: editor.edit("Who?", x),
        "edit rephrases": lambda x: editor.edit("Who?", "Ann", rephrases=x),
        "edit rephrases[0]": lambda x: editor.edit("Who?", "Ann", rephrases=[x]),
        "edit id": lambda x: editor.edit("Who?", "Ann", edit_id=x),
        "edit_turn": lambda x: editor.edit_turn(x),
        "edit_turn[0]": lambda x: editor.edit_turn([x, *two]),
        "stream": lambda x: editor.stream(x),
        "stream[0]": lambda x: editor.stream([x]),
        "stream pair": lambda x: editor.stream([("Who?", x)]),
        "stream mapping": lambda x: editor.stream([{"prompt": x, "target": "Ann"}]),
        "stream rephrases": lambda x: editor.stream(
            [{"prompt": "Who?", "target": "Ann", "rephrases": x}], with_rephrases=True
        ),
        "stream turn": lambda x: editor.stream(two, turn_size=x),
        "edit_many": lambda x: editor.edit_many(x),
        "edit_many turn": lambda x: editor.edit_many(two, turn_size=x),
        "edit_many on_turn": lambda x: editor.edit_many([], on_turn=x),
        "ask": lambda x: editor.ask(x, max_new_tokens=2),
        "ask compare": lambda x: editor.ask(x, compare=True, max_new_tokens=1),
        "ask max_new_tokens": lambda x: editor.ask("Who?", max_new_tokens=x),
        "ask format": lambda x: editor.ask("Who?", form=x, max_new_tokens=1),
        "restore": editor.restore,
        "save_pretrained": editor.save_pretrained,
    }
    for name, door in doors.items():
        for value in objects():
            edits, shift = editor.edits, editor.weights[0].shift.clone()
            refused = walk.outcomes["refused"]
            walk.call(f"{name} = {shown(value)}", lambda d=door, v=value: d(v))
            if walk.outcomes["refused"] > refused and not name.startswith(("stream", "edit_many")):
                assert editor.edits == edits and editor.weights[0].shift.equal(shift), name
        editor.restore(start)
    walk.judge(at_least=22 * 55)


def test_settings_of_an_editor() -> None:
    walk = Walk()
    for name in EditSettings.__dataclass_fields__:
        for value in objects():
            if name == "steps" and value is SLOW:
                continue  # fine, and slow
            walk.call(
                f"{name} = {shown(value)}",
                lambda n=name, v=value: Editor(
                    tiny.llama(),
                    tiny.tokenizer(),
                    EditSettings(**({"text": tiny.TEXT} | {n: v})),
                ),
            )
    for name in ("settings", "base", "calibration"):
        for value in objects():
            walk.call(
                f"{name} = {shown(value)}",
                lambda n=name, v=value: Editor(
                    tiny.llama(),
                    tiny.tokenizer(),
                    **({"settings": EditSettings(text=tiny.TEXT)} | {n: v}),
                ),
            )
    for value in objects():
        walk.call(
            "model", lambda v=value: Editor(v, tiny.tokenizer(), EditSettings(text=tiny.TEXT))
        )
        walk.call(
            "tokenizer", lambda v=value: Editor(tiny.llama(), v, EditSettings(text=tiny.TEXT))
        )
        for name in ("dtype", "device", "trust_remote_code"):
            walk.call(
                f"from_pretrained {name}",
                lambda n=name, v=value: Editor.from_pretrained("./no-such-folder", **{n: v}),
            )
    walk.judge(at_least=900)


def test_settings_of_a_method() -> None:
    walk = Walk()
    for setting in UltraEdit.__dataclass_fields__:
        for preset in ("default", "paper"):
            for value in objects():
                walk.call(
                    f"{preset} {setting} = {shown(value)}",
                    lambda p=preset, s=setting, v=value: method(p, **{s: v}),
                )
    for value in objects():
        walk.call("preset", lambda v=value: method(v))
        made_by_hand = lambda v=value: method(  # noqa: E731
            UltraEdit("mine", whiten=v, step=v, steps=v, modules=v)  # type: ignore[arg-type]
        )
        walk.call("by hand", made_by_hand)
    walk.judge(at_least=1000)


def test_fields_of_records() -> None:
    walk = Walk()
    for value in objects():
        for name in Record.__dataclass_fields__:
            fields = {"prompt": "Who?", "target": "Ann"} | {name: value}
            walk.call(f"Record {name} = {shown(value)}", lambda f=fields: Record(**f))
        for name in Probe.__dataclass_fields__:
            walk.call(f"Probe {name}", lambda n=name, v=value: Probe(**({"prompt": "a"} | {n: v})))
    walk.judge(at_least=700)


def test_one_text_is_one_rephrase_and_not_its_letters(editor: Editor) -> None:
    written: list[int] = []
    run = editor.engine.run
    editor.engine.run = lambda turn, *rest: (written.append(len(turn.pairs)), run(turn, *rest))[1]  # type: ignore[method-assign]
    for rephrases in ("谁是市长", ["谁是市长"], ("谁是市长",), iter(["谁是市长"])):
        editor.edit("Who is the mayor?", "Ann", rephrases=rephrases)  # type: ignore[arg-type]
    editor.edit("Who is the mayor?", "Ann", rephrases=None)  # type: ignore[arg-type]
    assert written == [2, 2, 2, 2, 1]
    assert Record("a", "b", rephrases="who").rephrases == ("who",)  # type: ignore[arg-type]
    assert Record("a", "b", personas="who").personas == ("who",)  # type: ignore[arg-type]


def test_a_source_that_fails_keeps_the_turns_before_it_and_its_own_error(editor: Editor) -> None:
    def source() -> Iterator[Record]:
        yield from (Record(*fact) for fact in tiny.FEW[:3])
        raise ZeroDivisionError("mine")

    edits = editor.edits
    with pytest.raises(ZeroDivisionError, match="mine"):
        editor.edit_many(source(), turn_size=2)
    assert editor.edits == edits + 2


def test_wrong_arguments_of_a_stream_are_refused_before_its_first_turn(editor: Editor) -> None:
    from ultraedit.errors import ConfigError, DataError

    with pytest.raises(ConfigError, match="turn_size is 0; a turn holds at least 1 edit"):
        editor.stream([], turn_size=0)
    with pytest.raises(DataError, match="found a number"):
        editor.stream(5)  # type: ignore[arg-type]


def test_another_editors_state_is_refused_whole(editor: Editor) -> None:
    from ultraedit.errors import ConfigError

    other = Editor(
        tiny.llama(),
        tiny.tokenizer(),
        EditSettings(modules="*.0.mlp.down_proj", steps=1, text=tiny.TEXT),
    )
    before = editor.weights[0].shift.clone()
    with pytest.raises(ConfigError, match="of other modules"):
        editor.restore(other.snapshot())
    assert editor.weights[0].shift.equal(before)


def test_a_value_that_cannot_be_shown_is_still_refused() -> None:
    from ultraedit.errors import ConfigError

    with pytest.raises(ConfigError, match="an object that cannot be shown"):
        method("default", step=Unprintable())  # type: ignore[arg-type]
    assert method("default") == PRESETS["default"]
