"""What is asked, how it is scored, and the words for both that stand beside every figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ultraedit.errors import ConfigError
from ultraedit.model.form import PromptForm

Family = Literal["efficacy", "generalization", "persona", "portability", "locality"]
FAMILIES: tuple[Family, ...] = get_args(Family)

ASKED: dict[str, str] = {
    "efficacy": "on the edit prompt",
    "generalization": "on its rephrases",
    "persona": "on the edit prompt in another person's style",
    "portability": "on multi-hop, reasoning and alias questions",
    "locality": "on unrelated prompts",
}

METRICS: dict[str, str] = {
    "token_accuracy": "teacher-forced: share of answer tokens that are the model's first choice",
    "exact": "teacher-forced: all answer tokens are the first choice",
    "first_token": "teacher-forced: the first answer token is the first choice",
    "perplexity": "teacher-forced: exp of the mean over edits of the answer's mean negative "
    "log-probability",
    "probability_success": "the right answer has a higher mean token log-probability than the "
    "wrong one",
    "generated_exact": "greedy free generation, normalised: equal to the answer",
    "generated_contains": "greedy free generation, normalised: contains the answer as whole words",
    "generated_truncated": "greedy free generation cut at the answer's token count, normalised: "
    "equal to the answer",
    "natural_stop": "greedy free generation ended by itself within the limit",
    "repetition": "greedy free generation: share of token trigrams seen before in the same text",
    "rouge_l": "greedy free generation: ROUGE-L F1, answers longer than the token limit only",
    "agreement": "greedy text equals the unedited model's, character for character",
    "top1_agreement": "teacher-forced: first choices equal to the unedited model's at the answer "
    "positions",
    "kl": "teacher-forced: mean KL(unedited || edited) in nats at the answer positions",
}
"""Every metric a question can have; the same names are the columns of the per-question table."""

LOWER_IS_BETTER = frozenset({"perplexity", "perplexity_ratio", "repetition", "kl"})


@dataclass(frozen=True, slots=True)
class Protocol:
    """The settings of an evaluation.  Raises ConfigError when one is out of range."""

    form: PromptForm = "raw"
    """`raw`: prompt and " " + answer; `chat`: the chat template, the answer as the assistant's
    turn."""
    max_new_tokens: int = 32
    long_max_new_tokens: int = 192
    """The limit where the answer itself is longer than `max_new_tokens`; such answers do not stop
    at a newline."""
    generate: tuple[Family, ...] = FAMILIES
    """Families that are asked in free generation (the costly part); teacher-forced scores are
    always made."""
    generated_records: int | None = None
    """Ask only this many records, drawn by `seed`, in free generation; None for all."""
    drift_window: int = 256
    """Tokens of a drift window; windows do not overlap."""
    question_marks: bool = False
    """Unrelated prompts that do not end in "?" get one, as in UltraEdit's released reader of zsRE."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in get_args(PromptForm):
            raise ConfigError(f"form is {self.form!r}: use 'raw' or 'chat'.")
        for name, least in (("max_new_tokens", 1), ("long_max_new_tokens", 1), ("drift_window", 2)):
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} is {value}: it must be at least {least}.")
        if self.generated_records is not None and self.generated_records < 0:
            raise ConfigError(
                f"generated_records is {self.generated_records}: it must not be negative."
            )
        for family in self.generate:
            if family not in FAMILIES:
                raise ConfigError(f"generate names {family!r}: choose from {', '.join(FAMILIES)}.")

    def words(self, family: Family, metric: str) -> str:
        """The protocol of one figure, in words."""
        return f"{METRICS[metric]}; {ASKED[family]}; {self.form} form"
