"""Every causal class of transformers, built tiny: the default config of each with its size fields made small.

`tiny_config` walks a config class's own default fields, so a class that transformers adds is built with no code here,
as long as it names its sizes as others do.  `OVERRIDES` holds what some need beside that.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from tiny import CONTEXT, SPECIAL, VOCAB

LARGEST = 5_000_000
"""Parameters of the largest model that is built: beyond, a size field was not made small."""

SIZES: dict[Any, str] = {
    VOCAB: "vocab_size vocab_size_per_layer_input decoder_vocab_size unpadded_vocab_size "
    "pronunciation_vocab_size shape_vocab_size",
    CONTEXT: "max_position_embeddings n_positions n_ctx max_seq_len context_length "
    "max_target_positions max_source_positions model_max_length",
    32: "hidden_size d_model n_embd dim embedding_size emb_dim lru_width attention_hidden_size embedding_dim "
    "input_embedding_size output_embedding_size word_embed_proj_dim pronunciation_embed_dim "
    "shape_embed_dim "
    "backbone_hidden_size out_hidden_size hidden_size_global "
    "text_hidden_size",
    64: "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim n_inner d_inner dff dim_ff "
    "ffn_hidden_size feed_forward_size intermediate_size_mlp dense_intermediate_size mamba_d_ssm",
    4: "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_encoder_layers "
    "num_decoder_layers num_blocks num_attention_heads n_head n_heads num_heads "
    "decoder_attention_heads encoder_attention_heads num_encoder_attention_heads "
    "num_decoder_attention_heads attention_heads num_experts n_routed_experts num_local_experts "
    "moe_num_experts swa_num_attention_heads linear_num_value_heads linear_num_heads "
    "index_n_heads index_topk mamba_n_heads n_mamba_heads rotary_dim o_groups num_kv_heads depth hc_lowrank "
    "mamba_num_heads time_step_rank mamba_dt_rank patch_size num_query_groups prompt_length laurel_rank adapter_rank",
    2: "num_key_value_heads swa_num_key_value_heads num_experts_per_tok num_experts_per_token "
    "moe_topk moe_k topk_group n_group num_expert_group linear_num_key_heads num_codebooks kv_n_heads",
    1: "num_shared_experts n_shared_experts moe_num_shared_experts first_k_dense_replace num_dense_layers",
    8: "head_dim qk_rope_head_dim v_head_dim qk_nope_head_dim index_head_dim linear_head_dim "
    "linear_key_head_dim linear_value_head_dim swa_head_dim d_head dim_head attention_head_size "
    "attention_head_dim global_head_dim sliding_window mamba_d_state state_size ssm_state_size "
    "hidden_size_per_layer_input chunk_size mamba_chunk_size kv_channels gated_norm_rank router_hidden_size",
    16: "kv_lora_rank q_lora_rank o_lora_rank mamba_d_head mamba_head_dim mamba_headdim attention_window_size "
    "attention_chunk_size",
    48: "moe_intermediate_size shared_expert_intermediate_size shared_intermediate_size "
    "shared_experts_intermediate_size moe_shared_expert_intermediate_size expert_ffn_hidden_size",
    28: "image_size",
    0.1: "initializer_range init_std initializer_factor",
}
FIELDS: dict[str, Any] = {name: size for size, names in SIZES.items() for name in names.split()}

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
HYBRID = ["linear_attention", "full_attention"] * 2
OVERRIDES: dict[str, dict[str, Any]] = {
    "BailingHybridConfig": {"layer_group_size": 2},
    "BambaConfig": {"attn_layer_indices": [1, 3]},
    "BltConfig": {"encoder_hash_byte_group_vocab": 100},
    "CohereCompassTextConfig": {"rope_parameters": {"full_attention": ROPE}},
    "DbrxConfig": {"attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2}},
    "DeepseekV2Config": {"num_experts_per_tok": 2},
    "Dots1Config": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "GPTNeoConfig": {"attention_types": [[["global", "local"], 2]]},
    "Gemma3nTextConfig": {"num_kv_shared_layers": 1, "layer_types": ["sliding_attention"] * 4},
    "Gemma4AssistantConfig": {},
    "GraniteMoeHybridConfig": {"layer_types": ["mamba", "attention"] * 2},
    "HunYuanDenseV1Config": {"head_dim": 8},
    "HunYuanMoEV1Config": {"head_dim": 8},
    "JambaConfig": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "KimiLinearConfig": {"layer_types": HYBRID},
    "Lfm2MoeConfig": {"layer_types": ["conv", "full_attention"] * 2},
    "Mamba2Config": {"num_heads": 8, "head_dim": 8},
    "MiniCPM3Config": {"num_key_value_heads": 4},
    "MinistralConfig": {"head_dim": 8},
    # its blocks attend to the whole text and its cache to a window, so a text must fit into that
    "MoshiConfig": {"sliding_window": CONTEXT},
    "NemotronConfig": {"num_key_value_heads": 2},
    "NemotronHConfig": {"n_groups": 2},
    "ReformerConfig": {"axial_pos_shape": [16, 10], "axial_pos_embds_dim": [16, 16]},
    "XmodConfig": {"default_language": "en_XX"},
    "YoutuConfig": {"num_key_value_heads": 4},
    "Zamba2Config": {"layers_block_type": ["mamba", "hybrid"] * 2},
    "ZambaConfig": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "ZayaConfig": {"num_experts_per_tok": 1},
}
"""Config class -> fields that it needs beside those of `FIELDS`."""


NOT_TINY: dict[str, str] = {
    "Dots3NoteConfig": "per_layer_config",
    "Dots3NoteTextConfig": "parameters",
    "Gemma3nConfig": "timm",
    "Gemma3nTextConfig": "parameters",
    "Gemma4AssistantConfig": "hidden_size_per_layer_input",
    "Gemma4UnifiedAssistantConfig": "layer types producing a cache",
    "Qwen4ExpConfig": "NoneType",
    "Qwen4ExpTextConfig": "NoneType",
    "ZambaConfig": "tie_weights_keys",
}
"""Config class -> what its own code says against being built as small as the others."""


def tiny_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """The fields of a default config that say how large something is, made small."""
    fields: dict[str, Any] = {}
    for name, value in vars(config).items():
        if isinstance(value, PreTrainedConfig):
            fields[name] = tiny_fields(value)
        elif name in FIELDS and isinstance(value, int | float) and not isinstance(value, bool):
            fields[name] = FIELDS[name]
        elif name.endswith(("token_id", "token_index")) and isinstance(value, int):
            fields[name] = SPECIAL.get(name, VOCAB - 1)
    if "kv_lora_rank" in fields:  # latent attention: keys and values have as many heads as queries
        fields |= {k: 4 for k in ("num_key_value_heads", "swa_num_key_value_heads") if k in fields}
    if hasattr(config, "is_decoder"):
        fields["is_decoder"] = True
    return fields | OVERRIDES.get(type(config).__name__, {})


def tiny_config(
    config_class: type[PreTrainedConfig], model_class: type[PreTrainedModel]
) -> PreTrainedConfig:
    """Of the class that the model takes: the part for text, where a config has several parts."""
    config = config_class(**tiny_fields(config_class()))
    if isinstance(config, model_class.config_class or PreTrainedConfig):
        return config
    return config.get_text_config(decoder=True)


def build(
    config_class: type[PreTrainedConfig], model_class: type[PreTrainedModel]
) -> PreTrainedModel:
    """Raises ValueError where the model is not tiny after all."""
    config = tiny_config(config_class, model_class)
    with torch.device("meta"):
        size = model_class._from_config(config).num_parameters()
    if size > LARGEST:
        raise ValueError(f"{size:,} parameters")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_class._from_config(config, dtype=torch.float32)
    return model.eval()


def classes() -> list[tuple[type[PreTrainedConfig], type[PreTrainedModel]]]:
    """Config and model class, each pair once, in order of their names."""
    found = {(c, m) for c, m in MODEL_FOR_CAUSAL_LM_MAPPING.items()}
    return sorted(found, key=lambda pair: (pair[0].__name__, pair[1].__name__))
