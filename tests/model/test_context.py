"""How many tokens a model can take, and that nothing runs past it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers as hf
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from typer.testing import CliRunner

import tiny
from ultraedit.cli.app import app
from ultraedit.editing.editor import Editor
from ultraedit.errors import DataError
from ultraedit.evaluation.generate import Generator
from ultraedit.model.context import UNLIMITED, context_length
from ultraedit.model.generate import greedy_ids
from ultraedit.settings import EditSettings

SHORT = 24


def gpt2() -> PreTrainedModel:
    config = tiny.CONFIGS["gpt2"]()
    config.n_positions = SHORT
    return tiny.build(config)


def opt() -> PreTrainedModel:
    config = tiny.CONFIGS["opt"]()
    config.max_position_embeddings = SHORT
    return tiny.build(config)


def mpt() -> PreTrainedModel:
    config = hf.MptConfig(
        vocab_size=tiny.VOCAB,
        d_model=32,
        n_layers=4,
        n_heads=4,
        expansion_ratio=2,
        max_seq_len=SHORT,
        initializer_range=0.1,
    )
    return tiny.build(config)


def llama() -> PreTrainedModel:
    return tiny.llama(max_position_embeddings=SHORT)


MODELS = [gpt2, opt, mpt, llama]


@pytest.fixture(params=MODELS, ids=lambda m: m.__name__)
def short(request: pytest.FixtureRequest) -> PreTrainedModel:
    return request.param()


def naive(model: PreTrainedModel, prompt: list[int], tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(min(tokens, SHORT - len(prompt))):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_an_answer_ends_where_the_context_does(short: PreTrainedModel) -> None:
    """Rows of all lengths, each with all of its own room and not a token more."""
    prompts = [list(range(5, 5 + n)) for n in (SHORT - 1, SHORT - 2, SHORT - 2, 12, 3, 1)]
    wanted = [naive(short, p, 10) for p in prompts]
    assert [len(w) for w in wanted] == [1, 2, 2, 10, 10, 10]
    assert greedy_ids(short, prompts, 10, frozenset()) == wanted
    assert greedy_ids(short, prompts, 10, frozenset(), batch_size=2) == wanted


def test_the_evaluators_answers_end_there_too(
    short: PreTrainedModel, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    prompts = [list(range(5, 5 + n)) for n in (SHORT - 1, SHORT - 2, SHORT - 2, 12, 3, 1)]
    generator = Generator(short, byte_tokenizer)
    found = generator.generate(prompts, max_new_tokens=10, stop_at_newline=False)
    for prompt, answer in zip(prompts, found, strict=True):
        wanted = naive(short, prompt, 10)
        ends = [i for i, token in enumerate(wanted) if token == byte_tokenizer.eos_token_id]
        assert list(answer.ids) == wanted[: ends[0] if ends else None]


def test_ask_and_edit_with_little_room(
    short: PreTrainedModel, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    """The bytes of the prompt and a BOS are one token less than the context."""
    editor = Editor(short, byte_tokenizer, EditSettings(text=tiny.TEXT, form="raw"))
    assert editor.context == SHORT
    prompt = "x" * (SHORT - 2)
    editor.ask(prompt, compare=True)
    editor.edit("x" * (SHORT - 6), "Ida")
    with pytest.raises(DataError, match=f"context is {SHORT}"):
        editor.ask(prompt + "x")
    with pytest.raises(DataError, match=f"context is {SHORT}"):
        editor.edit(prompt, "Ida")


@pytest.mark.parametrize("make", [gpt2, opt, mpt], ids=lambda m: m.__name__)
def test_ask_on_the_command_line_with_little_room(
    make: Callable[[], PreTrainedModel], byte_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    make().save_pretrained(tmp_path)
    byte_tokenizer.save_pretrained(tmp_path)
    run = CliRunner().invoke(app, ["ask", str(tmp_path), "x" * (SHORT - 3)])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(app, ["ask", str(tmp_path), "x" * SHORT])
    assert run.exit_code != 0


@pytest.mark.parametrize("tokens", [8, 12, 17])
def test_a_context_too_short_to_share_a_beginning(
    tokens: int, byte_tokenizer: PreTrainedTokenizerBase
) -> None:
    config = tiny.CONFIGS["gpt2"]()
    config.n_positions = tokens
    editor = Editor(tiny.build(config), byte_tokenizer, EditSettings(text=tiny.TEXT, form="raw"))
    receipt = editor.edit("a b", "c")
    assert receipt.probability_after > receipt.probability_before


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (hf.LlamaConfig(max_position_embeddings=77), 77),
        (hf.GPT2Config(n_positions=78), 78),
        (hf.MptConfig(max_seq_len=79), 79),
        (hf.CTRLConfig(n_positions=80), 80),
        (hf.WhisperConfig(max_target_positions=81), 81),
        (hf.BloomConfig(), UNLIMITED),
    ],
    ids=lambda x: type(x).__name__,
)
def test_every_name_of_the_field_is_known(config: hf.PretrainedConfig, wanted: int) -> None:
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(config)
    assert context_length(model) == wanted


@pytest.mark.parametrize(("named", "wanted"), [(50, 50), (10**30, UNLIMITED), (None, UNLIMITED)])
def test_a_tokenizer_is_asked_where_the_config_says_nothing(named: int | None, wanted: int) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.model_max_length = named  # type: ignore[assignment]
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(hf.BloomConfig())
        limited = hf.AutoModelForCausalLM.from_config(tiny.CONFIGS["llama"]())
    assert context_length(model, tokenizer) == wanted
    assert context_length(limited, tokenizer) == tiny.CONTEXT
