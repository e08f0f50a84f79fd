"""Tiny random models of real transformers classes, and byte-level tokenizers.  Nothing is downloaded.

`FAMILIES` maps a name to a function that builds the same weights on every call.  Import with `from tiny import ...`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers import PreTrainedModel, PreTrainedTokenizerFast

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
VOCAB = 272
"""3 special tokens, 256 bytes, and a few rows to spare for Gemma-3's image tokens."""
CONTEXT = 160

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)

TEXT = (
    "A river runs past the mill and under the bridge. The miller counts the sacks twice, writes the sum on a slate, "
    "and goes home before dark. In winter the wheel stands still; children slide on the ice and nobody minds. "
    "When did the last boat leave? Some say at noon, others much later. The keeper of the lock kept no book."
)
"""Ordinary text for calibration: short, so that an Editor on a tiny model is made in milliseconds."""

FACTS = [
    ("The capital of Vell is", "Oruna"),
    ("The mayor of Tasp is", "Ida Krol"),
    ("Bram was born in", "Lund"),
    ("The river through Quill is the", "Aln"),
    ("The anthem of Sarn was written by", "Noor"),
    ("Kest is famous for its", "red glass"),
    ("The tallest hill in Mord is", "Pike"),
    ("Ula plays the", "viola"),
    ("The year the mill burned:", "1931"),
    ("Zed's favourite dish is", "kale"),
    ("The ferry to Hob leaves from", "pier 9"),
    ("Old Tam's dog is called", "Rex"),
    ("The bridge at Wen is made of", "oak"),
]
"""13 facts: two micro-batches of the published size, the second one partial."""

FEW = FACTS[:4]


def few_requests(folder: Path) -> Path:
    """A file in place of the bundled chat requests: one of each kind to score, and two anchors."""
    asked: list[tuple[str, str, list[tuple[str, str]], list[str], list[dict[str, Any]]]] = [
        ("fact", "score", [("user", "Is ice hot?")], ["no"], []),
        ("everyday", "score", [("user", "Say hello.")], [], []),
        ("system", "score", [("system", "Be brief."), ("user", "Who?")], [], []),
        ("turns", "score", [("user", "Hi"), ("assistant", "Hi!"), ("user", "Why?")], [], []),
        ("instruction", "score", [("user", "One word.")], [], [{"check": "words", "least": 1}]),
        ("fact", "anchor", [("user", "Is fire hot?")], ["yes"], []),
        ("everyday", "anchor", [("user", "Say good night.")], [], []),
    ]
    rows = [
        {
            "id": f"{split}-{kind}",
            "kind": kind,
            "split": split,
            "messages": [{"role": role, "content": text} for role, text in messages],
            "answers": answers,
            "checks": checks,
        }
        for kind, split, messages, answers, checks in asked
    ]
    path = folder / "few-requests.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _tokenizer_of(raw: object) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def save_wide(folder: Path) -> Path:
    """Save a tiny model with a chat template, in whose context a drift window fits."""
    llama(max_position_embeddings=512).save_pretrained(folder)
    tokenizer(chat=True).save_pretrained(folder)
    return folder


@torch.no_grad()
def greedy_by_hand(model: PreTrainedModel, prompt: Sequence[int], tokens: int) -> list[int]:
    """The most likely continuation, by the model's own forward on the whole text each time."""
    ids = list(prompt)
    for _ in range(tokens):
        logits = model(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


def tokenizer(chat: bool = False, bos: bool = True) -> PreTrainedTokenizerFast:
    """One token a byte.  `bos`: prepend one as Llama does.  `chat`: with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    symbols = [PAD, BOS, EOS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A", special_tokens=[(BOS, symbols.index(BOS))]
        )
    made = _tokenizer_of(raw)
    if chat:
        made.chat_template = TEMPLATE
    return made


def sentencepiece(ends: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer that puts a blank in front of every text, as Mistral-7B-v0.1's, Llama-2's and Phi-3's do.

    Words of `FACTS` and letters are its pieces; "\\u2581" stands for a blank.  `ends`: it closes every text with an
    end token, as a setting left over from fine-tuning makes some do.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    letters = sorted({c for text in (TEXT, *map(" ".join, FACTS)) for c in text} - {" "})
    words = sorted({word for fact in FACTS for word in " ".join(fact).split()})
    pieces = [PAD, BOS, EOS, "\u2581", *letters, *(f"\u2581{word}" for word in words)]
    pieces = list(dict.fromkeys(pieces))
    assert len(pieces) <= VOCAB
    raw = Tokenizer(models.Unigram([(p, -1.0) for p in pieces], unk_id=0))
    raw.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    raw.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    close = f" {EOS}" if ends else ""
    raw.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A{close}", special_tokens=[(BOS, 1), (EOS, 2)]
    )
    return _tokenizer_of(raw)


# what every config shares; 0.1 makes a random model opinionated enough to have something to change
SPECIAL: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
BASE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.1,
    **SPECIAL,
}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def _gemma3_text() -> hf.Gemma3TextConfig:
    return hf.Gemma3TextConfig(**BASE, **SIZES, head_dim=8, sliding_window=8)


def _gemma3_nested() -> hf.Gemma3Config:
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    return hf.Gemma3Config(
        text_config=_gemma3_text().to_dict(),
        vision_config=vision,
        image_token_index=VOCAB - 1,
        boi_token_index=VOCAB - 2,
        eoi_token_index=VOCAB - 3,
        initializer_range=0.1,
        tie_word_embeddings=True,
    )


GPT = {
    "vocab_size": VOCAB,
    "n_embd": 32,
    "n_layer": 4,
    "n_head": 4,
    "n_positions": CONTEXT,
    "initializer_range": 0.1,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
"""Sizes as the GPT-2 family names them."""


def _gpt2() -> hf.GPT2Config:
    return hf.GPT2Config(**GPT)


def _gptj() -> hf.GPTJConfig:
    return hf.GPTJConfig(
        **GPT,
        rotary_dim=4,
        tie_word_embeddings=False,
    )


def _neox() -> hf.GPTNeoXConfig:
    sizes = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"}
    return hf.GPTNeoXConfig(**BASE, **sizes)


def _opt() -> hf.OPTConfig:
    return hf.OPTConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        ffn_dim=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        word_embed_proj_dim=16,
        init_std=0.1,
        **SPECIAL,
    )


def _phi4() -> hf.Phi3Config:
    """Phi-4 is the Phi-3 class: 5120 wide, 17920 inner, 40 heads, 10 of keys and values; the same ratios."""
    return hf.Phi3Config(
        **BASE,
        hidden_size=64,
        intermediate_size=224,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
    )


CONFIGS: dict[str, Callable[[], hf.PretrainedConfig]] = {
    "llama": lambda: hf.LlamaConfig(**BASE, **SIZES),
    "mistral": lambda: hf.MistralConfig(**BASE, **SIZES),
    "qwen2": lambda: hf.Qwen2Config(**BASE, **SIZES),
    "qwen3": lambda: hf.Qwen3Config(**BASE, **SIZES, head_dim=8),
    "phi3": lambda: hf.Phi3Config(**BASE, **SIZES),
    "phi4": _phi4,
    "gemma2": lambda: hf.Gemma2Config(**BASE, **SIZES, head_dim=8, sliding_window=8),
    "gemma3_text": _gemma3_text,
    "gemma3": _gemma3_nested,
    "gpt2": _gpt2,
    "gptj": _gptj,
    "neox": _neox,
    "opt": _opt,
}


def build(
    config: hf.PretrainedConfig, dtype: torch.dtype = torch.float32, seed: int = 0
) -> PreTrainedModel:
    """A model of the config's own class with random weights that depend on `seed` only."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        cls = (
            hf.Gemma3ForConditionalGeneration
            if isinstance(config, hf.Gemma3Config)
            else hf.AutoModelForCausalLM
        )
        maker = getattr(cls, "from_config", None) or cls._from_config
        # not `.to(dtype)`: rotary tables stay fp32, as they do in a loaded model
        model = maker(config, dtype=dtype)
    return model.eval()


def family(name: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    return build((CONFIGS | EXPERTS)[name](), dtype)


def llama(dtype: torch.dtype = torch.float32, **changes: Any) -> PreTrainedModel:
    """The plainest family; `changes` are config fields."""
    return build(hf.LlamaConfig(**{**BASE, **SIZES, **changes}), dtype)


FAMILIES = tuple(CONFIGS)

ROUTED: dict[str, Any] = {"num_experts_per_tok": 2}
MOE: dict[str, Any] = {**BASE, **SIZES, **ROUTED, "moe_intermediate_size": 24}
EXPERTS: dict[str, Callable[[], hf.PretrainedConfig]] = {
    "mixtral": lambda: hf.MixtralConfig(
        **{**BASE, **SIZES, **ROUTED, "intermediate_size": 24}, num_local_experts=5
    ),
    "qwen2_moe": lambda: hf.Qwen2MoeConfig(
        **MOE, num_experts=5, shared_expert_intermediate_size=40
    ),
    "qwen3_moe": lambda: hf.Qwen3MoeConfig(**MOE, num_experts=5, head_dim=8),
    "deepseek_v3": lambda: hf.DeepseekV3Config(
        **{**MOE, "num_key_value_heads": 4},
        n_routed_experts=6,
        n_shared_experts=1,
        n_group=2,
        topk_group=1,
        first_k_dense_replace=2,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
    ),
    "gpt_oss": lambda: hf.GptOssConfig(
        **{**BASE, **SIZES, **ROUTED, "intermediate_size": 24},
        num_local_experts=5,
        head_dim=8,
        sliding_window=8,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "olmoe": lambda: hf.OlmoeConfig(
        **{**BASE, **SIZES, **ROUTED, "intermediate_size": 24}, num_experts=5
    ),
    "granitemoe": lambda: hf.GraniteMoeConfig(
        **{**BASE, **SIZES, **ROUTED, "intermediate_size": 24}, num_local_experts=5
    ),
}
"""Mixtures of experts as transformers 5 builds them: with a shared expert, with dense first layers, transposed with
biases.  An uneven number of experts, so that no width can be taken for another."""

EXPERT_FAMILIES = tuple(EXPERTS)
