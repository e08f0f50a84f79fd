"""From prompt and target to token ids, in the form the model will be asked in.

UltraEdit (arXiv 2505.14679) tokenises the prompt and " " + target apart and joins them.  Most tokenizers give the same
tokens for both as one text.  SentencePiece tokenizers do not: they put a blank of their own in front of each text, so
the answer would begin with a second blank that the model never says by itself.  Here the target takes the tokens that
it has behind its prompt in one text, wherever that text begins with the prompt's own tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase

from ultraedit.errors import ConfigError, DataError
from ultraedit.model.batch import common_start
from ultraedit.model.form import PromptForm

Message = Mapping[str, str]
"""{"role", "content"} of one message of a chat."""

ANCHORS = ("a", ".", "1")
"""Texts to put in front of a target whose own prompt does not keep its tokens in front of it."""

PROBE = "Who runs the mill below the old bridge, now that the miller has gone to live with his daughter in the town?"
ANSWER = "Nobody."
"""What a chat template is tried on."""


class PromptEncoder:
    """Token ids of prompts and targets for one tokenizer, in one form.

    Raw: the text behind the tokenizer's own opening tokens (a BOS, say).  Chat: the text as a user's message in the
    chat template, ready for the answer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, form: str = "auto") -> None:
        """form: "raw", "chat", or "auto" (chat where the tokenizer has a template).

        Raises ConfigError for a form that this tokenizer cannot give.
        """
        self.tokenizer = tokenizer
        self.form: PromptForm = resolve_form(tokenizer, form)
        self._system = False
        self._parts = False
        self._lead = " "
        if self.form == "chat":
            self._learn_template()

    def prompt(self, text: str) -> list[int]:
        """Token ids of the prompt as it stands before the answer's first token.

        Blanks at the end of a raw prompt are left out, because the answer brings its own.  Raises DataError where
        the chat template refuses this text.
        """
        return self._ids(self._begin(text))

    def pair(self, prompt: str, target: str) -> tuple[list[int], list[int]]:
        """(prompt ids, target ids); the model predicts target j from everything before it.

        Raises DataError where the chat template refuses the prompt.
        """
        return self._pair(self._begin(prompt), target)

    def conversation(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a chat as it stands before the answer; one user's message gives what `prompt` gives.

        Raises ConfigError in raw form, and DataError where the chat template refuses these messages.
        """
        return self._ids(self._begin_chat(messages))

    def conversation_pair(
        self, messages: Sequence[Message], target: str
    ) -> tuple[list[int], list[int]]:
        """`pair` for a chat: (its token ids, those of an answer to it)."""
        return self._pair(self._begin_chat(messages), target)

    def _pair(self, begin: str, target: str) -> tuple[list[int], list[int]]:
        answer = self._lead + target.strip(" ")
        ids = self._ids(begin)
        joined = self._ids(begin + answer)
        if joined[: len(ids)] == ids:
            return ids, joined[len(ids) :]
        return ids, self._apart(answer)

    def inside(self, target: str) -> list[int]:
        """Token ids of a target that stands in the middle of an answer, behind a blank."""
        return self._apart(" " + target.strip(" "))

    @property
    def end_token(self) -> int:
        """The token with which this model ends an answer.  Raises ConfigError where there is none."""
        if self.tokenizer.eos_token_id is None:
            raise ConfigError(
                "this tokenizer has no end-of-sequence token; edit with end_token=False (--no-end-token)."
            )
        return int(self.tokenizer.eos_token_id)  # type: ignore[arg-type]

    @property
    def opening(self) -> int:
        """How many tokens all prompts begin with: a BOS, or the head of a chat template.

        At least 1: the first token of a text is an outlier in most models whatever it is.
        """
        return max(len(common_start([self.prompt(letter) for letter in "aZ"])), 1)

    # -- how ---------------------------------------------------------------------------------------

    def _begin(self, text: str) -> str:
        """The text that stands before the answer."""
        if self.form == "raw":
            return text.rstrip(" ")
        try:
            return self._render(text)
        except Exception as error:  # a template is a program of somebody else's
            raise DataError(
                f'the chat template of this tokenizer refuses the prompt "{text[:60]}" ({_reason(error)}); '
                'word it otherwise, or use form="raw".'
            ) from error

    def _begin_chat(self, messages: Sequence[Message]) -> str:
        if self.form == "raw":
            raise ConfigError("prompts are put as raw text here, and a chat needs a chat template.")
        try:
            return self._render_all(messages, open_ended=True)
        except Exception as error:  # a template is a program of somebody else's
            raise DataError(
                f"the chat template of this tokenizer refuses these messages ({_reason(error)}); most want a user's "
                "and the assistant's in turn."
            ) from error

    def _ids(self, text: str) -> list[int]:
        bare = self.form == "chat"  # a rendered template holds its special tokens already
        ids = list(self.tokenizer(text, add_special_tokens=not bare, verbose=False)["input_ids"])  # type: ignore[arg-type]
        return ids if bare else self._without_ending(ids, text)

    def _without_ending(self, ids: list[int], text: str) -> list[int]:
        """Leave out the tokens with which some tokenizers end every text: what follows them would be another text."""
        if not ids or ids[-1] not in (self.tokenizer.all_special_ids or ()):
            return ids
        own = list(self.tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]
        for start in range(len(ids) - len(own) + 1):
            if own and ids[start : start + len(own)] == own:
                return ids[: start + len(own)]
        return ids

    def _apart(self, answer: str) -> list[int]:
        """Token ids of an answer whose prompt's last token grows into it: as behind another text, or alone."""
        bare = [list(self._bare(anchor)) for anchor in ANCHORS]
        for anchor, ids in zip(ANCHORS, bare, strict=True):
            joined = self._bare(anchor + answer)
            if answer[:1].isspace() and joined[: len(ids)] == ids:
                return joined[len(ids) :]
        return self._bare(answer)

    def _bare(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])  # type: ignore[arg-type]

    def _learn_template(self) -> None:
        """Find out how this template takes a user's message, and what it writes before an answer.

        Some want the content as a list of parts, and some want a system message first.
        """
        refusal: Exception | None = None
        for self._system, self._parts in (
            (False, False),
            (False, True),
            (True, False),
            (True, True),
        ):
            try:
                rendered = self._render(PROBE)
            except Exception as error:  # a template is a program of somebody else's
                refusal = refusal or error
                continue
            if PROBE in rendered and not (
                self._parts and "'text'" in rendered
            ):  # not the parts written out
                self._lead = self._blank_before_answer(rendered)
                return
        why = "it leaves the message out" if refusal is None else _reason(refusal)
        raise ConfigError(
            f"the chat template of this tokenizer cannot be used for a question ({why}); mend "
            'tokenizer.chat_template, or use form="raw" (--form raw).'
        )

    def _render(self, prompt: str, answer: str | None = None) -> str:
        messages: list[Message] = [{"role": "user", "content": prompt}]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        return self._render_all(messages, open_ended=answer is None)

    def _render_all(self, messages: Sequence[Message], open_ended: bool) -> str:
        """`open_ended`: ready for an answer."""
        made: list[dict[str, Any]] = [dict(message) for message in messages]
        if self._system and made[0]["role"] != "system":
            made.insert(0, {"role": "system", "content": ""})
        if self._parts:
            for message in made:
                message["content"] = [{"type": "text", "text": message["content"]}]
        return str(
            self.tokenizer.apply_chat_template(
                made, add_generation_prompt=open_ended, tokenize=False
            )
        )

    def _blank_before_answer(self, rendered: str) -> str:
        """White space that the template writes between the question's end and an answer ("[/INST] Paris")."""
        try:
            whole = self._render(PROBE, ANSWER)
        except Exception:  # a template for questions only
            return ""
        lead, found, _ = whole.removeprefix(rendered).partition(ANSWER)
        return lead if found and whole.startswith(rendered) and lead.isspace() else ""


def resolve_form(tokenizer: PreTrainedTokenizerBase, form: str) -> PromptForm:
    """`auto` is `chat` where the tokenizer carries a chat template, else `raw`.

    Raises ConfigError for an unknown form, or where `chat` has no template to use.
    """
    template: object = getattr(tokenizer, "chat_template", None)
    if form not in ("auto", "raw", "chat"):
        raise ConfigError(f'form "{form}" is unknown; use "auto", "raw" or "chat".')
    if form == "raw" or (form == "auto" and not template):
        return "raw"
    if not template:
        raise ConfigError(
            'form="chat" needs a chat template and this tokenizer has none; use form="raw".'
        )
    if isinstance(template, dict) and "default" not in template:
        raise ConfigError(
            f"this tokenizer's chat templates are named {', '.join(template)} and none is the default; set "
            'tokenizer.chat_template to one of them, or use form="raw" (--form raw).'
        )
    return "chat"


def encode_prompt(tokenizer: PreTrainedTokenizerBase, prompt: str, form: PromptForm) -> list[int]:
    """One prompt of `PromptEncoder.prompt`, where a single one is wanted."""
    return PromptEncoder(tokenizer, form).prompt(prompt)


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, form: PromptForm
) -> tuple[list[int], list[int]]:
    """One pair of `PromptEncoder.pair`, where a single one is wanted."""
    return PromptEncoder(tokenizer, form).pair(prompt, target)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
