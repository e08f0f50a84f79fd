"""The settings of an edit, and the presets.  One frozen dataclass: what is not here is not a setting."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from ultraedit import arguments
from ultraedit.errors import ConfigError

MICRO_BATCH = 64
"""Prompts run together through the top blocks, at most."""


@dataclass(frozen=True)
class Method:
    """How value gradients become weights.  See docs/method.md for the formula and what each setting earned."""

    name: str
    published: bool
    """True: UltraEdit exactly as released (centred pooled statistics over keys and gradients, mean loss over
    micro-batches of 10, update added in the weights' own dtype).  False: the improved numerics."""
    step: float
    """Published form: eta.  Else the displacement of a typical answer token's output, as a share of the module's
    own output norm, before the solve's damping."""
    steps: int = 1
    """Closed-form refinements within one turn; the frozen trunk is computed once."""
    ridge: float = 1.0
    text_weight: float = 0.0
    """Weight of the key covariance of ordinary text in the metric; 0 leaves the metric at the identity."""
    history: bool = False
    """Put the keys of every turn into the metric, so that later turns move earlier edits as little as they can."""
    horizon: float = 0.0
    """Edited tokens after which a turn's keys count 1/e in the metric, so that there is always room for new edits;
    0: they never fade."""
    end_token: bool = True
    """Edit the answer together with the token that ends it, so that generation says the answer and stops."""
    modules: str = "auto"
    prompt_tokens: int = 0
    """Of each prompt, how many of its own tokens are edited with the answer's: those of largest gradient."""
    whiten: bool = False
    """Gradients times the inverse root of their running covariance (in the published form that of StableEdit, else
    shrunk: `core.spread`), in place of each dimension over its own running size."""

    @property
    def warms_up(self) -> bool:
        """Whether the method is published with a warm-up (`editing.warm_up`)."""
        return self.published and self.whiten


_DEFAULT = Method(
    "default",
    published=False,
    step=0.15,
    steps=6,
    text_weight=1000.0,
    history=True,
    whiten=True,
)

PRESETS: dict[str, Method] = {
    "paper": Method("paper", published=True, step=1e-6, end_token=False, modules="auto"),
    "stableedit": Method(
        "stableedit", published=True, step=1e-6, ridge=10.0, end_token=False, whiten=True
    ),
    "default": _DEFAULT,
    "thorough": replace(_DEFAULT, name="thorough", prompt_tokens=4),
    "fast": replace(_DEFAULT, name="fast", step=0.35, steps=1),
}
"""`paper` and `stableedit` keep the published eta of 1e-6, which suits 7B models; on a 135M model it does nothing
(eta 1e-3 does).  StableEdit is published with a warm-up on edits of another split: `editing.warm_up`."""


def method(preset: str | Method, **changes: float | int | bool | str | None) -> Method:
    """A preset with some settings changed; None means unchanged.

    Raises ConfigError for an unknown preset or setting, or a value out of range.
    """
    if not isinstance(preset, Method):
        preset = arguments.word(preset, "preset")
        if preset not in PRESETS:
            raise ConfigError(
                f'preset "{preset}" is unknown; the presets are {", ".join(PRESETS)}.'
            )
        preset = PRESETS[preset]
    known = {f.name for f in fields(Method)}
    for key in changes:
        if key not in known:
            raise ConfigError(f'setting "{key}" is unknown; the settings are {", ".join(known)}.')
    made = replace(preset, **{k: v for k, v in changes.items() if v is not None})  # type: ignore[arg-type]
    _check_kinds(made)
    arguments.whole(made.steps, "steps", 1)
    if made.published and made.steps != 1:
        raise ConfigError(f'preset "{made.name}" is published with one step, not {made.steps}.')
    if made.published and made.prompt_tokens:
        raise ConfigError(
            f"prompt_tokens is {made.prompt_tokens}; it is 0 with the published forms."
        )
    if not made.horizon >= 0 or (made.horizon and not made.history):
        raise ConfigError(
            f"horizon is {made.horizon}; it is a number of edited tokens, 0 or more, for presets that keep the keys of "
            "earlier turns in the metric."
        )
    if not made.step > 0 or not made.ridge > 0 or made.text_weight < 0:
        raise ConfigError(
            f"step {made.step} and ridge {made.ridge} must be above 0 and text_weight "
            f"{made.text_weight} not below 0."
        )
    return made


def _check_kinds(made: Method) -> None:
    """Raises ConfigError for a setting of the wrong kind, in a Method made by hand too."""
    for name in ("step", "ridge", "text_weight", "horizon"):
        arguments.number(getattr(made, name), name)
    arguments.whole(made.prompt_tokens, "prompt_tokens", 0)
    for name in ("published", "history", "end_token", "whiten"):
        arguments.flag(getattr(made, name), name)
    for name in ("name", "modules"):
        arguments.word(getattr(made, name), name)
