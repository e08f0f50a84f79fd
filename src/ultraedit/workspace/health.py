"""Watches a stream: canary perplexity, distance from the base, immediate success, a sample of past edits.

Readings depend only on the model, the journal and the seed, so a resumed stream takes the same ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from ultraedit.data.bundled import drift_text
from ultraedit.data.record import prompt_key
from ultraedit.editing.assemble import said_for
from ultraedit.editing.editor import Editor
from ultraedit.editing.receipt import Receipt
from ultraedit.editing.routing import RoutingReading
from ultraedit.errors import WorkspaceError
from ultraedit.model.steady import steady
from ultraedit.model.weights import originals
from ultraedit.workspace.chat import ChatReading, own_answers
from ultraedit.workspace.config import HealthConfig, Thresholds
from ultraedit.workspace.history import History
from ultraedit.workspace.journal import EditRow, HealthRow
from ultraedit.workspace.said import said_whole

WINDOW = 128
WINDOWS_AT_ONCE = 1
"""Run between two pauses: four of them, through the head of a large vocabulary, make streams wait twice as long as a
micro-batch of a turn does."""
LARGEST_LOG_RATIO = 20.0
"""Perplexity ratios are reported up to e^20, so that a broken model still gives a finite number."""


class UnhealthyError(WorkspaceError):
    """The monitor's policy ended a stream."""


class Canary:
    """Perplexity of ordinary text.  Only the top blocks run: the trunk's output is kept."""

    def __init__(self, editor: Editor, tokens: int) -> None:
        self._editor = editor
        tokenizer, runner = editor.tokenizer, editor.runner
        text = drift_text()[: 16 * tokens]  # no tokenizer takes more characters a token on prose
        # verbose: windows are cut below, so that the text is longer than the context is no warning to give
        found = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        ids = list(found)[:tokens]  # type: ignore[arg-type]
        window = min(WINDOW, editor.context)
        windows = [ids[k : k + window] for k in range(0, len(ids), window)]
        pairs = [(w[:1], w[1:]) for w in windows if len(w) > 1]
        self._batches = runner.batches(pairs, WINDOWS_AT_ONCE)
        with steady(editor.model):
            self._trunks = runner.trunks(self._batches)
        with originals(editor.weights):
            self._before = self._loss()

    def ratio(self) -> float:
        """Perplexity now over the unedited model's."""
        excess = self._loss() - self._before
        if math.isnan(excess):
            excess = LARGEST_LOG_RATIO
        return math.exp(min(excess, LARGEST_LOG_RATIO))

    def _loss(self) -> float:
        total, count = 0.0, 0
        for batch, trunk in zip(self._batches, self._trunks, strict=True):
            with steady(self._editor.model):
                log_probs = self._editor.runner.trace(batch, trunk, None).log_probs
            total -= float(log_probs.double().sum())
            count += log_probs.numel()
        return total / max(count, 1)


class Reservoir:
    """A seeded sample of past edits: those whose hashed numbers are smallest.

    Membership is a function of the seed and the edits alone, so nothing of it needs to be stored.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._seed = seed
        self._seen = 0
        self._rows: dict[int, EditRow] = {}
        self._stale: set[int] = set()

    def at(self, history: History, turn: int) -> list[EditRow]:
        """The sampled edits that are in force at a state."""
        for row in self._new_turns(history, turn):
            for edit in row:
                self._add(edit)
        self._seen = turn
        return [self._rows[n] for n in sorted(self._rows) if n not in self._stale]

    def _new_turns(self, history: History, turn: int) -> list[list[EditRow]]:
        path = []
        at = turn
        while at and at != self._seen:
            row = history.journal.turns[at]
            if row.kind != "edit":
                break
            path.append(at)
            at = row.parent
        if at == self._seen:
            return [list(history.journal.rows(t)) for t in reversed(path)]
        self._rows, self._stale = {}, set()
        return [list(history.edits(turn))]

    def _add(self, edit: EditRow) -> None:
        prompt = prompt_key(edit.prompt)
        self._stale.update(n for n, row in self._rows.items() if prompt_key(row.prompt) == prompt)
        self._rows[edit.edit] = edit
        if len(self._rows) > self._size:
            worst = max(self._rows, key=self._priority)
            del self._rows[worst]
            self._stale.discard(worst)

    def _priority(self, edit: int) -> bytes:
        return hashlib.sha256(f"{self._seed} {edit}".encode()).digest()


class Monitor:
    """Reads an editor's health after a turn, before it is acknowledged."""

    def __init__(self, editor: Editor, config: HealthConfig, seed: int) -> None:
        self._editor = editor
        self._config = config
        self._canary = Canary(editor, config.canary_tokens) if config.canary_tokens else None
        self._reservoir = Reservoir(config.reservoir_size, seed)
        asked = editor.form == "chat" and editor.method.writes_weights
        self._answers = own_answers(editor) if asked else None
        self._routing = editor.routing()

    def read(
        self, receipts: Sequence[Receipt], turn: int, history: History, parent: int
    ) -> HealthRow:
        """`turn` is the number of the turn just written on top of state `parent`."""
        config = self._config
        written = [r for r in receipts if r.superseded_by is None]
        success = sum(r.learned for r in written) / max(len(written), 1)
        ratio = self._canary.ratio() if self._canary is not None else 1.0
        shift = max(w.shift_ratio() for w in self._editor.weights)
        kept: float | None = None
        if config.reservoir_every and turn % config.reservoir_every == 0:
            kept = self._kept(history, parent, {prompt_key(r.prompt) for r in receipts})
        reasons = [
            *_judge("canary perplexity over the base's", ratio, config.perplexity_ratio, True),
            *_judge("||W - W0|| / ||W0||", shift, config.shift_ratio, True),
        ]
        if len(written) >= config.small_turn:
            reasons += _judge("share learned in this turn", success, config.success, False)
        if kept is not None:
            reasons += _judge("share of past edits kept", kept, config.reservoir, False)
        levels = {level for level, _ in reasons}
        return HealthRow(
            level="red" if "red" in levels else "amber" if "amber" in levels else "green",
            perplexity_ratio=ratio,
            shift_ratio=shift,
            success=success,
            reservoir=kept,
            reasons=tuple(text for _, text in reasons),
        )

    def chat(self) -> ChatReading | None:
        """What is left of the model's own answers; None where no request can be asked in chat form."""
        return None if self._answers is None else self._answers.read()

    def routing(self) -> RoutingReading | None:
        """How many tokens go to other experts; None where there are none above the first edit."""
        return None if self._routing is None else self._routing.read()

    def _kept(self, history: History, parent: int, rewritten: set[str]) -> float | None:
        editor = self._editor
        rows = [
            row
            for row in self._reservoir.at(history, parent)
            if prompt_key(row.prompt) not in rewritten
        ]
        if not rows:
            return None
        pairs = [editor.encoder.pair(r.prompt, said_for(r.record())) for r in rows]
        return sum(said_whole(editor, pairs)) / len(rows)


def advice(health: HealthRow, config: HealthConfig) -> str:
    """What a reading that is not green means, and what to do, in a sentence or two; "" for a green one."""
    damaged = [
        *_judge("", health.perplexity_ratio, config.perplexity_ratio, True),
        *_judge("", health.shift_ratio, config.shift_ratio, True),
    ]
    if health.reservoir is not None:
        damaged += _judge("", health.reservoir, config.reservoir, False)
    if damaged:
        return (
            "edits move the weights so far that ordinary text or earlier edits suffer: go back with `ultraedit "
            "rollback` (to the mark healthy, where there is one), and make a workspace with a smaller --step, or of a "
            "larger model, because a very small one has no room for edits"
        )
    if health.level != "green":
        return (
            "the model does not take the edits in: look at its answers with `ultraedit ask`, and make a workspace with "
            "more --steps, with --preset thorough, or of a larger model"
        )
    return ""


def _judge(what: str, value: float, limits: Thresholds, above: bool) -> list[tuple[str, str]]:
    """(level, sentence) where a reading is beyond a threshold."""
    for level, limit in (("red", limits.red), ("amber", limits.amber)):
        if math.isnan(value) or (value > limit if above else value < limit):
            side = "above" if above else "below"
            return [(level, f"{what} is {value:.3g}, {side} {limit:g} ({level})")]
    return []
