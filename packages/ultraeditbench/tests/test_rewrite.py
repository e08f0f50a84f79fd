"""Rewording through a loopback server and a tiny local model; replies that break a gate are not
used."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests_graph import Silent, write_tsv
from ultraedit.errors import ConfigError, DataError
from ultraeditbench import BuildConfig, build
from ultraeditbench.rewrite import LocalModel, Rewriter, ServerModel


class _Stub(BaseHTTPRequestHandler):
    """Rewords every other subject; the rest of the replies break one gate each."""

    seen: list[dict] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body)
        order = body["messages"][0]["content"]
        subject = re.search(r"Keep the name '(.*)' letter", order)
        assert subject is not None
        replies = (
            f'"Could you tell me this about {subject[1]}, please?"',
            "Could you tell me, please?",
            f"It is about {subject[1]}.",
            f"First about {subject[1]}?\nSecond about {subject[1]}?",
        )
        text = replies[sum(map(ord, subject[1])) % 4]
        data = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data if self.path == "/v1/chat/completions" else b"[]")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    http = HTTPServer(("127.0.0.1", 0), _Stub)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_only_replies_that_pass_the_gates_are_used(server: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = write_tsv(tmp_path / "g.tsv")
    config = BuildConfig(
        (path,), tmp_path / "out", size=40, rewrite=f"{server}/v1", rewrite_model="stub", threads=1
    )  # fmt: skip
    build(config, Silent())
    records = [
        r for p in (tmp_path / "out").glob("data/*.parquet") for r in pq.read_table(p).to_pylist()
    ]
    assert {body["model"] for body in _Stub.seen} == {"stub"}
    reworded = [r for r in records if r["rewritten"]]
    assert 0 < len(reworded) < len(records)
    for r in records:
        wanted = sum(map(ord, r["subject"])) % 4 == 0
        assert r["rewritten"] is wanted
        assert (
            r["rephrase_prompt"] == f"Could you tell me this about {r['subject']}, please?"
        ) is wanted
    assert f"Reworded by a model: {len(reworded)}" in (tmp_path / "out" / "README.md").read_text()


def test_a_server_that_is_none_is_named(server: str) -> None:
    with pytest.raises(DataError, match="another form"):
        ServerModel(f"{server}/elsewhere", "m").answer("Keep the name 'a' letter for letter")


def test_a_dead_server_is_named() -> None:
    with pytest.raises(DataError, match="no answer"):
        ServerModel("http://127.0.0.1:9/v1", "m").answer("x")


def test_neither_address_nor_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither"):
        Rewriter.open(str(tmp_path / "nowhere"), None)


def test_a_local_model_answers(tmp_path: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    model = Rewriter.open(str(tmp_path), None).model
    assert isinstance(model, LocalModel)
    first = model.answer("Reword this")
    assert first
    assert first == model.answer("Reword this")
