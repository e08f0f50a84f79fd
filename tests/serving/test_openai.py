"""OpenAI's endpoints: shapes, streams, log-probabilities, what is refused and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import tiny
from serving import served
from serving.served import NAME, Served

CHAT = [{"role": "user", "content": tiny.FACTS[0][0]}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The head has one turn on the base; nothing here edits further."""
    with served.serving(tmp_path_factory.mktemp("openai")) as made:
        assert made.edit(*served.FACTS[:3]).status_code == 200
        yield made


def chat(server: Served, **fields: Any) -> Any:
    asked = {"model": NAME, "messages": CHAT, "temperature": 0, "max_tokens": 12} | fields
    return server.client.post("/v1/chat/completions", json=asked)


def test_models_are_head_base_and_marks(server: Served) -> None:
    listed = server.client.get("/v1/models").json()
    assert listed["object"] == "list"
    rows = {row["id"]: row for row in listed["data"]}
    assert set(rows) == {NAME, f"{NAME}@base", f"{NAME}@healthy"}
    assert rows[NAME]["parent"] == f"{NAME}@base" and rows[f"{NAME}@base"]["parent"] is None
    assert rows[NAME]["weight_version"] == rows[f"{NAME}@healthy"]["weight_version"]
    assert rows[NAME]["max_model_len"] == tiny.CONTEXT
    for name in (NAME, f"{NAME}@base", f"{NAME}@healthy", f"{NAME}@turn:1", f"{NAME}@head"):
        assert server.client.get(f"/v1/models/{name}").json()["id"] == name


@pytest.mark.parametrize("model", ["other", f"{NAME}@nope", f"{NAME}@turn:9", f"{NAME}@turn:x", ""])
def test_an_unknown_model_is_404(server: Served, model: str) -> None:
    found = chat(server, model=model)
    assert found.status_code == 404
    error = found.json()["error"]
    assert error["type"] == "NotFoundError" and error["param"] == "model" and error["code"] == 404
    assert NAME in error["message"]


def test_an_answer_says_its_version(server: Served) -> None:
    head = server.client.get("/history").json()["weight_version"]
    whole = chat(server)
    assert whole.headers["X-Weight-Version"] == whole.json()["system_fingerprint"] == head
    base = chat(server, model=f"{NAME}@base")
    assert base.headers["X-Weight-Version"].startswith("t0-")
    assert base.json()["choices"][0]["message"] != whole.json()["choices"][0]["message"]
    for name in (f"{NAME}@healthy", f"{NAME}@turn:1", f"{NAME}@head"):
        same = chat(server, model=name)
        assert same.json()["choices"] == whole.json()["choices"]
        assert same.json()["model"] == name


def test_a_chat_is_put_as_facts_are(server: Served) -> None:
    """So that what was edited in chat form is asked in the very same form."""
    encoder = server.workspace.editor.encoder
    assert encoder.form == "chat"
    ids = server.service.prompts.chat(CHAT)
    assert ids == encoder.prompt(CHAT[0]["content"])
    parts = [{"role": "user", "content": [{"type": "text", "text": CHAT[0]["content"]}]}]
    assert chat(server, messages=parts).json()["choices"] == chat(server).json()["choices"]


def test_a_stream_says_what_the_whole_answer_says(server: Served) -> None:
    whole = chat(server, n=2, temperature=1, seed=5, logprobs=True, top_logprobs=2).json()
    body = {
        "model": NAME, "messages": CHAT, "max_tokens": 12, "n": 2, "temperature": 1, "seed": 5,
        "logprobs": True, "top_logprobs": 2, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    chunks = server.chunks("/v1/chat/completions", body)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    for index, choice in enumerate(whole["choices"]):
        mine = [c["choices"][0] for c in chunks[:-1] if c["choices"][0]["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert "".join(m["delta"].get("content", "") for m in mine) == choice["message"]["content"]
        assert [m["finish_reason"] for m in mine if m["finish_reason"]] == [choice["finish_reason"]]
        likely = [t for m in mine if m["logprobs"] for t in m["logprobs"]["content"]]
        assert likely == choice["logprobs"]["content"]
    first, second = (c["message"]["content"] for c in whole["choices"])
    assert first != second


def test_a_completion_stream_with_echo(server: Served) -> None:
    body = {
        "model": NAME,
        "prompt": ["The mill", "A river"],
        "max_tokens": 5,
        "temperature": 0,
        "echo": True,
    }
    for logprobs in (None, 1):
        whole = server.client.post("/v1/completions", json=body | {"logprobs": logprobs}).json()
        chunks = server.chunks("/v1/completions", body | {"logprobs": logprobs, "stream": True})
        for index, choice in enumerate(whole["choices"]):
            mine = [c["choices"][0] for c in chunks if c["choices"][0]["index"] == index]
            assert "".join(m["text"] for m in mine) == choice["text"]
            if logprobs:
                columns = [m["logprobs"] for m in mine if m["logprobs"]]
                for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
                    assert [x for c in columns for x in c[name]] == choice["logprobs"][name]


def test_echo_scores_a_prompt_of_token_ids_as_one_forward_does(server: Served) -> None:
    """What lm-eval's local-completions reads."""
    prompts = [server.service.prompts.raw(text) for text in ("The mill stands still.", "Rex")]
    asked = {
        "model": f"{NAME}@base", "prompt": prompts, "max_tokens": 1, "logprobs": 1, "echo": True,
        "temperature": 0, "seed": 1234,
    }  # fmt: skip
    choices = server.client.post("/v1/completions", json=asked).json()["choices"]
    model = tiny.llama()
    for ids, choice in zip(prompts, choices, strict=True):
        with torch.no_grad():
            log_probs = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
        found = choice["logprobs"]["token_logprobs"]
        assert found[0] is None and len(found) == len(ids) + 1
        for at, token in enumerate(ids[1:]):
            assert found[at + 1] == pytest.approx(float(log_probs[at, token]), abs=2e-4)
            top = choice["logprobs"]["top_logprobs"][at + 1]
            greedy = int(log_probs[at].argmax()) == token
            assert (found[at + 1] == max(top.values())) == greedy


def test_scoring_alone_generates_nothing(server: Served) -> None:
    found = server.complete("The mill", max_tokens=0, echo=True, logprobs=0)
    assert found["text"] == "The mill" and found["finish_reason"] == "length"
    assert len(found["logprobs"]["tokens"]) == len("The mill") + 1  # a BOS, and a token a byte
    assert found["logprobs"]["top_logprobs"][1] is None


def test_stop_seed_and_length(server: Served) -> None:
    whole = server.complete("The mill", max_tokens=20)
    assert whole["finish_reason"] == "length"
    stop = whole["text"][5:8]
    cut = server.complete("The mill", max_tokens=20, stop=["never said", stop])
    assert (
        cut["text"] == whole["text"][: whole["text"].index(stop)] and cut["finish_reason"] == "stop"
    )
    drawn = [server.complete("The mill", temperature=1, seed=s)["text"] for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_usage_counts_tokens(server: Served) -> None:
    body = {"model": NAME, "prompt": ["ab", "abc"], "max_tokens": 4, "temperature": 0, "n": 2}
    usage = server.client.post("/v1/completions", json=body).json()["usage"]
    assert usage == {"prompt_tokens": 3 + 4, "completion_tokens": 16, "total_tokens": 23}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"functions": []}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"top_k": 5}, "top_k"),
        ({"n": 17}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 150}, "max_tokens"),
        ({"max_completion_tokens": 10**6}, "max_completion_tokens"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x" * 200}]}, "messages"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_name(
    server: Served, fields: dict[str, Any], param: str
) -> None:
    found = chat(server, **fields)
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert error["param"] == param and error["message"]
    assert error["type"] == "BadRequestError" and error["code"] == 400


def test_fields_that_change_nothing_are_taken(server: Served) -> None:
    extra = {
        "user": "u", "metadata": {"a": "b"}, "store": False, "frequency_penalty": 0, "presence_penalty": 0.0,
        "logit_bias": {}, "tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "n": 1,
        "stop": None, "seed": None, "parallel_tool_calls": True, "service_tier": "auto", "stream": False,
    }  # fmt: skip
    assert chat(server, **extra).json()["choices"] == chat(server).json()["choices"]


@pytest.mark.parametrize(
    "prompt", ["", [], [[]], [VOCAB := 99999], [[3], "x"], ["x"] * 129, [-1], 5, None]
)
def test_prompts_that_are_none(server: Served, prompt: Any) -> None:
    found = server.client.post("/v1/completions", json={"model": NAME, "prompt": prompt})
    # the tiny tokenizer opens every text with a BOS, so that an empty text is a prompt of one token
    assert found.status_code == (200 if prompt == "" else 400), found.text


def test_a_body_that_is_no_json(server: Served) -> None:
    json_type = {"Content-Type": "application/json"}
    for content in (b"{", b"\xff", b"[1]", b"NaN", b'{"model": NaN}', b"9" * 5000):
        found = server.client.post("/v1/completions", content=content, headers=json_type)
        assert found.status_code == 400, (content[:9], found.text)
        assert found.json()["error"]["code"] == 400


def test_errors_stay_small_and_repeat_nothing(server: Served) -> None:
    body = {"model": NAME, "prompt": [["secret" * 9]] * 100} | {f"field{i}": 1 for i in range(500)}
    found = server.client.post("/v1/completions", json=body)
    assert found.status_code == 400 and len(found.content) < 4000
    assert "secretsecret" not in found.text


def test_half_a_character_is_refused_and_not_a_crash(server: Served) -> None:
    raw = b'{"model": "tiny", "prompt": "\\ud800", "\\ud800": 1}'
    found = server.client.post(
        "/v1/completions", content=raw, headers={"Content-Type": "application/json"}
    )
    assert found.status_code == 400


def test_tokens_of_a_text_and_of_a_chat(server: Served) -> None:
    post = server.client.post
    assert post("/tokenize", json={"prompt": "ab"}).json()["tokens"] == [1, 67, 68]
    bare = post("/tokenize", json={"prompt": "ab", "add_special_tokens": False}).json()
    assert bare == {"count": 2, "max_model_len": tiny.CONTEXT, "tokens": [67, 68]}
    ids = post("/tokenize", json={"messages": CHAT, "model": NAME}).json()["tokens"]
    assert ids == server.workspace.editor.encoder.prompt(CHAT[0]["content"])
    assert post("/tokenize", json={}).status_code == 400
    assert post("/tokenize", json={"model": "x", "prompt": "a"}).status_code == 404


def test_two_models_answer_in_one_stream(server: Served) -> None:
    body = {"models": [f"{NAME}@base", NAME], "messages": CHAT, "max_tokens": 12, "target": "Oruna"}
    found = server.chunks("/compare", body)
    for side, model in enumerate(body["models"]):
        mine = [event for event in found if event["side"] == side]
        text = "".join(c["delta"].get("content", "") for e in mine for c in e["choices"])
        assert text == chat(server, model=model).json()["choices"][0]["message"]["content"]
        assert mine[0]["weight_version"].startswith(f"t{side}-")
        assert mine[-1]["choices"][0]["finish_reason"]
    likely = [e["target_probability"] for e in found if "target_probability" in e]
    receipt = server.client.get("/edits/1").json()
    assert sorted(likely) == pytest.approx(
        sorted([receipt["probability_before"], receipt["probability_after"]]), rel=1e-3
    )


def test_each_side_may_have_a_chat_of_its_own(server: Served) -> None:
    other = [{"role": "user", "content": tiny.FACTS[1][0]}]
    body = {"models": [NAME, NAME], "messages": [CHAT, other], "max_tokens": 12}
    found = server.chunks("/compare", body)
    said = ["".join(
        c["delta"].get("content", "") for e in found if e["side"] == s for c in e["choices"]
    ) for s in (0, 1)]  # fmt: skip
    expected = [
        chat(server, messages=m).json()["choices"][0]["message"]["content"] for m in (CHAT, other)
    ]
    assert said == expected


def test_a_prompt_is_compared_as_facts_are_put(server: Served) -> None:
    body = {"models": [NAME, f"{NAME}@base"], "prompt": CHAT[0]["content"], "max_tokens": 12}
    found = server.chunks("/compare", body)
    text = "".join(
        c["delta"].get("content", "") for e in found if e["side"] == 0 for c in e["choices"]
    )
    assert text == chat(server).json()["choices"][0]["message"]["content"]
    assert server.client.post("/compare", json=body | {"messages": CHAT}).status_code == 400
    assert server.client.post("/compare", json=body | {"models": [NAME, "x"]}).status_code == 404


def test_metrics_count(server: Served) -> None:
    def value(name: str) -> float:
        lines = server.client.get("/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = value('ultraedit_tokens_total{kind="completion"}')
    chat(server, max_tokens=5)
    assert value('ultraedit_tokens_total{kind="completion"}') == before + 5
    assert value("ultraedit_head_turn") == 1 and value("ultraedit_edits_total") == 3
    assert value("ultraedit_live_versions") >= 2
