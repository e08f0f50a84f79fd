"""The shapes of requests.  What would change an answer's meaning and is not served is refused by its name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TEXTS_AT_ONCE = 128
"""Prompts in one completion request."""
CHOICES = 16
"""Choices for one prompt."""
STOPS = 16
"""Stop texts."""
TOP = 20
"""Likely tokens told at each place."""

LARGEST_SEED = 2**53
"""Beyond it JSON's numbers are not exact."""

Stop = Annotated[str, Field(min_length=1, max_length=200)]
TokenId = Annotated[int, Field(ge=0, le=2**31)]
Tokens = Annotated[list[TokenId], Field(min_length=1)]


class Shape(BaseModel):
    """A JSON object without surprises: no unknown field, no number written as a text, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class StreamOptions(Shape):
    """What a stream tells beside its text."""

    include_usage: bool = False
    """A last chunk with the counts of tokens."""
    include_obfuscation: bool = False
    """Taken and left alone."""


class TextOnly(Shape):
    """The one response format there is."""

    type: Literal["text"]


class Sampling(Shape):
    """What both OpenAI endpoints take."""

    model: str = Field(max_length=300)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1, le=CHOICES)
    seed: int | None = Field(None, ge=-LARGEST_SEED, le=LARGEST_SEED)
    stop: Stop | Annotated[list[Stop], Field(max_length=STOPS)] | None = None
    # only with the value that changes nothing
    frequency_penalty: float | None = Field(None, ge=0, le=0)
    presence_penalty: float | None = Field(None, ge=0, le=0)
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    # OpenAI's fields that change no answer here: taken and left alone
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    user: str | None = None


class CompletionRequest(Sampling):
    """POST /v1/completions."""

    prompt: (
        str
        | Tokens
        | Annotated[list[str], Field(min_length=1, max_length=TEXTS_AT_ONCE)]
        | Annotated[list[Tokens], Field(min_length=1, max_length=TEXTS_AT_ONCE)]
    )
    max_tokens: int | None = Field(None, ge=0)
    logprobs: int | None = Field(None, ge=0, le=TOP)
    echo: bool | None = None
    best_of: int | None = Field(None, ge=1, le=1)
    suffix: Annotated[str, Field(max_length=0)] | None = None


class Part(Shape):
    """One part of a message's content; text is the only kind."""

    type: Literal["text"]
    text: str


class ChatMessage(Shape):
    """One message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(min_length=1, max_length=100)]
    name: str | None = None

    def plain(self) -> dict[str, str]:
        """Role and text, as chat templates take them."""
        content = self.content
        if not isinstance(content, str):
            content = "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": content}


Messages = Annotated[list[ChatMessage], Field(min_length=1, max_length=500)]


class ChatRequest(Sampling):
    """POST /v1/chat/completions."""

    messages: Messages
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=TOP)
    response_format: TextOnly | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    modalities: list[Literal["text"]] | None = None


class TokenizeRequest(Shape):
    """POST /tokenize: a text, or a chat in the model's template."""

    model: str | None = Field(None, max_length=300)
    prompt: str | None = None
    messages: Messages | None = None
    add_special_tokens: bool = True


class CompareRequest(Shape):
    """POST /compare: two models answer together."""

    models: Annotated[
        list[Annotated[str, Field(max_length=300)]], Field(min_length=2, max_length=2)
    ]
    messages: Messages | Annotated[list[Messages], Field(min_length=2, max_length=2)] | None = None
    """One chat for both, or one for each."""
    prompt: str | None = None
    """In the place of messages: put in the form in which this workspace's facts are written."""
    target: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    """An answer whose probability is told for both."""
    max_tokens: int = Field(160, ge=1)
    temperature: float = Field(0, ge=0, le=2)
    top_p: float = Field(1, gt=0, le=1)
    seed: int | None = Field(None, ge=-LARGEST_SEED, le=LARGEST_SEED)


FactText = Annotated[str, Field(min_length=1, max_length=20_000)]


class Fact(Shape):
    """One edit."""

    prompt: FactText
    target: FactText
    id: str = Field("", max_length=200)
    subject: str | None = Field(None, max_length=2000)
    rephrases: list[FactText] = Field(default_factory=list, max_length=100)


class EditsRequest(Shape):
    """POST /edits: one turn, written whole or not at all, rephrases with it."""

    edits: list[Fact] = Field(min_length=1)


class UndoRequest(Shape):
    """POST /undo."""

    count: int = Field(1, ge=1, le=10**9)


class RollbackRequest(Shape):
    """POST /rollback."""

    to: Annotated[str, Field(min_length=1, max_length=100)] | Annotated[int, Field(ge=0, le=10**9)]


class MarkRequest(Shape):
    """PUT /marks/{name}; without a turn the present state is marked."""

    at: (
        Annotated[str, Field(min_length=1, max_length=100)]
        | Annotated[int, Field(ge=0, le=10**9)]
        | None
    ) = None
