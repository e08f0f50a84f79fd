"""What runs at an address, told by its own words, and the way into it."""

from __future__ import annotations

from typing import Literal

from ultraedit.errors import ConfigError, ServerError
from ultraedit.pushing.endpoint import Endpoint
from ultraedit.pushing.llama_cpp import LlamaCppLora
from ultraedit.pushing.sglang import SglangLora, SglangWeights
from ultraedit.pushing.vllm import VllmLora, VllmWeights
from ultraedit.pushing.way import Way

How = Literal["lora", "weights"]


def find_way(endpoint: Endpoint, how: How) -> Way:
    """Ask the address what it is.

    Args:
        endpoint: The address.
        how: Edits beside the server's weights, or new weights.

    Returns:
        The way in; nothing at the server has changed.

    Raises:
        ServerError: Where nothing answers, or what answers is none of the servers that are known.
        ConfigError: Where that server has no such way.
    """
    found = endpoint.get("/version")
    if found.ok and "workspace" in found.json:
        raise ConfigError(
            f"{endpoint.url} is `ultraedit serve` with a workspace of its own: edit that with "
            f"`ultraedit edit NAME ... --server {endpoint.url}`."
        )
    if found.ok and found.json.get("version"):
        server = f"vLLM {found.json['version']}"
        return (VllmLora if how == "lora" else VllmWeights)(endpoint, server)
    found = endpoint.get("/model_info")
    if found.ok and found.json.get("model_path"):
        told = endpoint.get("/server_info").json
        server = f"SGLang {told.get('version') or ''}".strip()
        return (SglangLora if how == "lora" else SglangWeights)(endpoint, server, told)
    found = endpoint.get("/props")
    if found.ok and "default_generation_settings" in found.json:
        if how == "weights":
            raise ConfigError(
                "llama.cpp reads its weights at its start only; push with --how lora, or export --to merged, convert "
                "it to GGUF and start the server with that."
            )
        server = f"llama.cpp {found.json.get('build_info') or ''}".strip()
        return LlamaCppLora(endpoint, server, found.json)
    if found.status == 503:
        raise ServerError(
            f"the server at {endpoint.url} is not up yet ({found.words}); push again in a moment."
        )
    raise ServerError(
        f"what answers at {endpoint.url} is neither vLLM, SGLang nor llama.cpp; check the address."
    )
