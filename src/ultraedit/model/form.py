"""The forms in which a prompt can be put; imports nothing, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

PromptForm = Literal["raw", "chat"]
"""Raw text, or a user's message in the tokenizer's chat template."""

FormChoice = Literal["auto", "raw", "chat"]
"""What callers may ask for; "auto" is chat where the tokenizer has a template."""
