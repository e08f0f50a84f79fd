"""Every setting of editing is accepted wherever editing begins, and arrives there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import tiny
from ultraedit.bench import bench as benchmark
from ultraedit.bench import evaluate, pair
from ultraedit.bench.config import Config
from ultraedit.cli.app import main
from ultraedit.editing.editor import Editor
from ultraedit.errors import ConfigError, UltraEditError
from ultraedit.methods.presets import method
from ultraedit.serving.limits import Limits
from ultraedit.settings import EditSettings, Loading
from ultraedit.workspace import create
from ultraedit.workspace.config import WorkspaceSettings
from ultraedit.workspace.create import create_workspace
from workspace import made

OTHER: dict[str, Any] = {
    "preset": "fast",
    "modules": "model.layers.1.mlp.down_proj",
    "form": "chat",
    "step": 0.25,
    "steps": 2,
    "ridge": 0.5,
    "text_weight": 3.0,
    "horizon": 77.0,
    "end_token": False,
    "voice": "own",
    "wordings": 3,
    "micro_batch": 3,
    "text": Path("plain.txt"),
}
"""A value of each setting that is not its default."""
NAMES = [f.name for f in fields(EditSettings)]


class ArrivedError(UltraEditError):
    """Ends a command where the settings have come to, before anything is loaded."""


@pytest.fixture
def arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., EditSettings]:
    """Runs a command and returns the settings that reach the library."""
    (tmp_path / "plain.txt").write_text(tiny.TEXT)
    (tmp_path / "facts.jsonl").write_text('{"prompt": "Who?", "target": "Ann"}\n')
    monkeypatch.chdir(tmp_path)
    seen: list[EditSettings] = []

    def stop(settings: EditSettings) -> None:
        seen.append(settings)
        raise ArrivedError

    monkeypatch.setattr(
        Editor, "from_pretrained", classmethod(lambda cls, name, settings, **_: stop(settings))
    )
    monkeypatch.setattr(
        create, "create_workspace", lambda folder, model, settings, **_: stop(settings)
    )
    monkeypatch.setattr(benchmark, "run_bench", lambda config, *_, **__: stop(config.settings))

    def run(*words: object) -> EditSettings:
        seen.clear()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        assert left.value.code == 2 and len(seen) == 1, words
        return seen[0]

    return run


VERBS = {
    "edit": ("edit", "nowhere", "Who?", "Ann"),
    "init": ("init", "ws", "--model", "nowhere"),
    "bench": ("bench", "nowhere", "--data", "facts.jsonl", "--out", "out"),
}
DEFAULTS = {"edit": EditSettings(), "init": EditSettings(), "bench": EditSettings(form="raw")}


def _word(name: str) -> str:
    return name.replace("_", "-")


def test_every_setting_has_another_value_here() -> None:
    assert list(OTHER) == NAMES
    assert EditSettings(**OTHER).changed() == OTHER


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", NAMES)
def test_a_verb_takes_every_setting(
    arrive: Callable[..., EditSettings], tmp_path: Path, verb: str, name: str
) -> None:
    """As an option, and as a key of a config file."""
    value = OTHER[name]
    option = [f"--no-{_word(name)}"] if value is False else [f"--{_word(name)}", value]
    (tmp_path / "run.yaml").write_text(f"{_word(name)}: {str(value).lower()}\n")
    # a benchmark's rows name their presets, a row each
    expected = {} if (verb, name) == ("bench", "preset") else {name: value}
    for words in (option, ["--config", "run.yaml"]):
        assert arrive(*VERBS[verb], *words) == replace(DEFAULTS[verb], **expected)


OTHER_LOADING: dict[str, Any] = {
    "dtype": "float16",
    "device": "cuda:7",
    "device_map": '{"": "cpu"}',
    "trust_remote_code": True,
    "quantize": "4bit",
}
"""A value of each setting of loading that is not its default."""


@pytest.mark.parametrize("verb", [*VERBS, "ask"])
def test_every_setting_of_loading_arrives_where_the_model_is_loaded(
    verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As an option, and as a key of a config file."""
    assert list(OTHER_LOADING) == [f.name for f in fields(Loading)]
    (tmp_path / "facts.jsonl").write_text('{"prompt": "Who?", "target": "Ann"}\n')
    monkeypatch.chdir(tmp_path)
    seen: list[dict[str, Any]] = []

    def stop(name: str, **given: Any) -> None:
        seen.append(given)
        raise ArrivedError

    for module in (
        "ultraedit.editing.editor",
        "ultraedit.workspace.create",
        "ultraedit.model.load",
    ):
        monkeypatch.setattr(f"{module}.load", stop)
    words = VERBS.get(verb, ("ask", "nowhere", "Who?"))
    for name, value in OTHER_LOADING.items():
        option = [f"--{_word(name)}"] if value is True else [f"--{_word(name)}", value]
        (tmp_path / "run.yaml").write_text(
            f"{_word(name)}: {str(value).lower() if value is True else value!r}\n"
        )
        for given in (option, ["--config", "run.yaml"]):
            seen.clear()
            with pytest.raises(SystemExit):
                main([*words, *given])
            (found,) = seen
            assert {n: found[n] for n in OTHER_LOADING} == vars(replace(Loading(), **{name: value}))


def _with_other(name: str) -> EditSettings:
    """Settings of a tiny model with one at its other value."""
    value = tiny.TEXT if name == "text" else OTHER[name]
    return EditSettings(**({"text": tiny.TEXT} | {name: value}))


def _arrived(editor: Editor, settings: EditSettings, name: str) -> None:
    """The one at its other value is what the editor works with."""
    assert editor.engine.micro_batch == settings.micro_batch
    expected = {"preset": ("name", "fast"), "micro_batch": ("name", "default")}
    if name not in ("modules", "form", "text"):
        field, value = expected.get(name, (name, OTHER[name]))
        assert getattr(editor.method, field) == value
    if name == "micro_batch":
        assert settings.micro_batch == OTHER[name]
    if name == "form":
        assert editor.form == "chat"
    if name == "modules":
        assert [w.name for w in editor.weights] == [OTHER["modules"]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tiny.llama().save_pretrained(folder)
    tokenizer = tiny.tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_the_library_takes_every_setting(base: Path, tmp_path: Path, name: str) -> None:
    settings = _with_other(name)
    loaded = Editor.from_pretrained(base, settings)
    _arrived(loaded, settings, name)
    _arrived(Editor(loaded.model, loaded.tokenizer, settings), settings, name)
    with create_workspace(tmp_path / "ws", base, settings) as workspace:
        _arrived(workspace.editor, settings, name)
        config = workspace.store.config
    assert config.micro_batch == settings.micro_batch
    spec = Config(str(base), "facts.jsonl", settings=replace(settings, preset="default"))
    how = replace(settings, preset="default").method()
    assert spec.rows()[0].method == how
    assert spec.as_dict().get("preset") == ["default"]


def test_a_file_of_text_is_measured_as_the_text_itself(base: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text(tiny.TEXT)
    from_file = Editor.from_pretrained(base, EditSettings(text=tmp_path / "plain.txt"))
    itself = Editor.from_pretrained(base, EditSettings(text=tiny.TEXT))
    bundled = Editor.from_pretrained(base)
    assert from_file.engine.calibration.output_norms == itself.engine.calibration.output_norms
    assert from_file.engine.calibration.output_norms != bundled.engine.calibration.output_norms


def test_a_file_of_text_that_cannot_be_read_is_quoted(base: Path, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("none.txt", "bytes"):
        with pytest.raises(ConfigError, match=rf"the text '.*{name}' cannot be read"):
            Editor.from_pretrained(base, EditSettings(text=tmp_path / name))


def test_settings_of_another_kind_are_quoted(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings is 'fast'; give EditSettings"):
        Editor.from_pretrained(base, "fast")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"keep is 3; give WorkspaceSettings"):
        create_workspace(tmp_path / "ws", base, keep=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="undo_window is -1"):
        WorkspaceSettings(undo_window=-1)


def test_a_benchmark_names_its_presets_a_row_each() -> None:
    with pytest.raises(ConfigError, match="settings names the preset 'fast'"):
        Config("model", "data", settings=EditSettings("fast"))


LOADING: dict[str, tuple[str, ...]] = {
    "edit": ("edit", "base", "Who?", "Ann"),
    "edit, a workspace": ("edit", "ws", "Who?", "Ann"),
    "ask": ("ask", "base", "Who?"),
    "ask, a workspace": ("ask", "ws", "Who?"),
    "init": ("init", "new", "--model", "base"),
    "bench": ("bench", "base", "--data", "facts.jsonl", "--out", "out"),
    "eval": ("eval", "base", "--base", "base", "--data", "facts.jsonl", "--out", "out"),
    "eval, a workspace": ("eval", "ws", "--out", "out"),
    "study": ("study", "grid.yaml", "--data", "facts.jsonl", "--out", "out"),
    "demo": ("demo", "--model", "base", "--out", "out"),
    "undo": ("undo", "ws", "--last", "1"),
    "rollback": ("rollback", "ws", "--to", "1"),
    "export, a workspace": ("export", "ws", "--to", "delta", "--out", "out"),
    "export": ("export", "edited", "--to", "delta", "--out", "out"),
    "serve": ("serve", "ws", "--port", "0"),
}
"""What a verb is called with, up to where it loads a model."""


@pytest.fixture(scope="module")
def loadable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the verbs of `LOADING` name."""
    folder = tmp_path_factory.mktemp("loadable")
    with made.make(folder, undo_window=0) as workspace:  # so that going back writes again
        made.fill(workspace, 3)
        workspace.editor.save_pretrained(folder / "edited")
    rows = "".join(f'{{"prompt": "Who {i}?", "target": "Ann"}}\n' for i in range(4))
    (folder / "facts.jsonl").write_text(rows)
    grid = "model: base\ndevelopment: [0, 2]\nreport: [2, 4]\nedits: 2\nreport_edits: 2\nturn_size: 2\n"
    (folder / "grid.yaml").write_text(grid + "presets: [fast]\nfinalists: 1\n")
    return folder


@pytest.mark.parametrize("verb", LOADING)
def test_a_verb_that_loads_a_model_spreads_it_as_asked(
    monkeypatch: pytest.MonkeyPatch, loadable: Path, tmp_path: Path, verb: str
) -> None:
    seen: list[Any] = []

    def stop(*_: object, **given: Any) -> None:
        seen.append(given.get("device_map"))
        raise RuntimeError("arrived")

    monkeypatch.chdir(loadable)
    monkeypatch.setattr("ultraedit.model.load.AutoModelForCausalLM.from_pretrained", stop)
    with pytest.raises(SystemExit) as left:
        words = [str(tmp_path / "out") if word == "out" else word for word in LOADING[verb]]
        main([*words, "--device-map", '{"model.layers.0": "disk", "": "cpu"}'])
    assert left.value.code == 2
    assert seen == [{"model.layers.0": "disk", "": "cpu"}]


@pytest.mark.parametrize("verb", ["bench", "eval"])
def test_question_marks_reach_the_protocol(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str
) -> None:
    seen: list[bool] = []

    def stop(config: Any, *_: object, **__: object) -> None:
        seen.append(config.scoring.protocol("raw", 64, 0).question_marks)
        raise ArrivedError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(benchmark, "run_bench", stop)
    monkeypatch.setattr(evaluate, "run_eval", stop)
    monkeypatch.setattr(pair, "base_of", lambda model, base: "base")
    words = [verb, "nowhere", "--data", "facts.jsonl", "--out", "out"]
    for more in ([], ["--question-marks"]):
        with pytest.raises(SystemExit):
            main([*words, *more])
    assert seen == [False, True]


def test_one_module_in_a_list_is_that_one() -> None:
    assert EditSettings(modules=["auto"]) == EditSettings(modules="auto")


def test_a_method_is_a_preset_too() -> None:
    mine = method("default", step=0.25)
    assert EditSettings(mine, steps=2).method() == method("default", step=0.25, steps=2)


@pytest.mark.parametrize("name", [f.name for f in fields(Limits)])
def test_a_servers_limit_is_a_whole_number_of_at_least_one(name: str) -> None:
    for wrong in (0, 1.5, "many"):
        with pytest.raises(ConfigError, match=f"{name} is "):
            Limits(**{name: wrong})
    assert getattr(Limits(**{name: 3}), name) == 3
