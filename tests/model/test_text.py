"""Prompts and targets as token ids: whatever the tokenizer does to the two ends of a text."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

import tiny
from ultraedit import ConfigError, DataError, Editor
from ultraedit.model.text import PromptEncoder
from ultraedit.settings import EditSettings

PROMPT, TARGET = "The capital of Vell is", "red glass"


def as_one_text(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return list(tokenizer(f"{PROMPT} {TARGET}", add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]


@pytest.mark.parametrize("ends", [False, True])
def test_a_target_has_the_tokens_it_has_behind_its_prompt(ends: bool) -> None:
    """Apart, it would begin with a second blank that the model never says."""
    tokenizer = tiny.sentencepiece(ends)
    prompt, target = PromptEncoder(tokenizer, "raw").pair(PROMPT, TARGET)
    assert [*prompt, *target] == [tokenizer.bos_token_id, *as_one_text(tokenizer)]
    assert tokenizer.convert_ids_to_tokens(target) == ["\u2581red", "\u2581glass"]


@pytest.mark.parametrize("bos", [False, True])
def test_byte_level_targets_are_as_tokenised_apart(bos: bool) -> None:
    """The published way, which the twin follows."""
    tokenizer = tiny.tokenizer(bos=bos)
    prompt, target = PromptEncoder(tokenizer, "raw").pair(PROMPT + "  ", TARGET + " ")
    assert prompt == tokenizer(PROMPT)["input_ids"]
    assert target == tokenizer(" " + TARGET, add_special_tokens=False)["input_ids"]


def test_what_the_model_is_taught_is_what_it_says() -> None:
    """Receipt, generation and the plain text's own tokens agree on how likely the answer is."""
    tokenizer, model = tiny.sentencepiece(), tiny.llama()
    editor = Editor(model, tokenizer, EditSettings(text=tiny.TEXT, form="raw", steps=20, step=3.0))
    receipt = editor.edit(PROMPT, TARGET)
    assert receipt.learned
    ids = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    said = model.generate(ids, max_new_tokens=8, do_sample=False)[0]
    assert tokenizer.decode(said, skip_special_tokens=True) == f"{PROMPT} {TARGET}"
    whole = torch.tensor([[tokenizer.bos_token_id, *as_one_text(tokenizer)]])
    log_probs = model(input_ids=whole).logits[0].log_softmax(-1)
    start = ids.shape[1]
    own = sum(log_probs[i - 1, whole[0, i]] for i in range(start, whole.shape[1]))
    assert float(own.exp()) == pytest.approx(receipt.probability_after, rel=1e-3)


def ended(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return tokenizer


def test_a_prompt_is_not_a_finished_text() -> None:
    """The fact is written behind the prompt, and not behind the end of the text."""
    plain, model = tiny.tokenizer(), tiny.llama()
    encoder = PromptEncoder(ended(tiny.tokenizer()), "raw")
    assert encoder.pair(PROMPT, TARGET) == PromptEncoder(plain, "raw").pair(PROMPT, TARGET)
    editor = Editor(
        model, encoder.tokenizer, EditSettings(text=tiny.TEXT, form="raw", steps=20, step=3.0)
    )
    assert editor.edit(PROMPT, "I").learned
    ids = plain(PROMPT, return_tensors="pt")["input_ids"]
    said = model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
    assert plain.decode(said[0, ids.shape[1] :], skip_special_tokens=True) == " I"


def test_an_end_token_that_the_user_wrote_stays() -> None:
    encoder = PromptEncoder(ended(tiny.tokenizer()), "raw")
    assert encoder.prompt("one</s>")[-1] == 2
    assert encoder.prompt("one</s>") == PromptEncoder(tiny.tokenizer(), "raw").prompt("one</s>")


def test_a_prompt_whose_last_token_grows_keeps_its_own_tokens() -> None:
    """As one text, prompt and answer are cut elsewhere: the model is asked with the prompt's own tokens."""
    from tokenizers import Tokenizer, decoders, models

    pieces = {p: i for i, p in enumerate(["<pad>", "</s>", *"abc ", "b c"])}
    raw = Tokenizer(models.Unigram([(p, -1.0) for p in pieces], unk_id=0))
    raw.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="</s>", pad_token="<pad>")
    assert tokenizer("ab c")["input_ids"] == [pieces["a"], pieces["b c"]]
    prompt, target = PromptEncoder(tokenizer, "raw").pair("ab", "c")
    assert prompt == [pieces["a"], pieces["b"]]
    assert target == [pieces[" "], pieces["c"]]


# -- chat templates ----------------------------------------------------------------------------------


def chat(template: object, tokenizer: PreTrainedTokenizerFast | None = None) -> PromptEncoder:
    made = tokenizer or tiny.tokenizer()
    made.chat_template = template  # type: ignore[assignment]
    return PromptEncoder(made, "auto")


def test_a_chat_answer_has_no_blank_that_the_chat_never_has() -> None:
    """Zephyr's form: the generation prompt ends in a line break, and the answer follows."""
    encoder = chat(
        "{% for m in messages %}{{ m['role'] + m['content'] + '-' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant-{% endif %}",
        tiny.sentencepiece(),
    )
    _, target = encoder.pair("Who", "Rex")
    assert encoder.tokenizer.convert_ids_to_tokens(target) == ["R", "e", "x"]


def test_a_blank_that_the_template_writes_is_the_answers() -> None:
    """Llama-2's form: "[/INST] answer"."""
    encoder = chat(
        "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
        "{% else %} {{ m['content'] }}</s>{% endif %}{% endfor %}"
    )
    prompt, target = encoder.pair("Who?", "Rex")
    assert encoder.tokenizer.decode(prompt) == "[INST] Who? [/INST]"
    assert encoder.tokenizer.decode(target) == " Rex"


def test_content_as_parts() -> None:
    encoder = chat(
        "{% for m in messages %}{% for p in m['content'] %}{{ p['text'] }}{% endfor %}|{% endfor %}"
    )
    assert encoder.tokenizer.decode(encoder.prompt("Who?")) == "Who?|"


def test_a_template_that_wants_a_system_message_first() -> None:
    encoder = chat(
        "{% if messages[0]['role'] != 'system' %}{{ raise_exception('system first') }}{% endif %}"
        "{% for m in messages %}{{ m['content'] }}|{% endfor %}"
    )
    assert encoder.tokenizer.decode(encoder.prompt("Who?")) == "|Who?|"


def test_the_default_of_several_templates() -> None:
    encoder = chat({"tools": "no", "default": tiny.TEMPLATE})
    assert encoder.tokenizer.decode(encoder.prompt("Who?")) == "user:Who?\nassistant:"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"rag": "x", "tools": "y"}, "rag, tools"),
        ("{{ raise_exception('no users here') }}", "no users here"),
        ("{% for m in messages %}", "Unexpected end of template"),
        ("{{ messages[0].content.nothing.more }}", "nothing"),
        ("always this", "leaves the message out"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused_in_a_sentence(
    template: object, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        chat(template)
    assert 'form="raw"' in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_prompt_that_the_template_refuses_is_quoted() -> None:
    encoder = chat(
        "{% if 'bad' in messages[0]['content'] %}{{ raise_exception('no') }}{% endif %}"
        "{{ messages[0]['content'] }}"
    )
    assert encoder.prompt("good")
    with pytest.raises(DataError, match=r'"bad word" \(no\)'):
        encoder.prompt("bad word")
