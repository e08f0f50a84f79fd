"""Going back: undo, rollback, and taking one edit out of the middle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ultraedit import arguments
from ultraedit.core.solve import Update
from ultraedit.data.record import prompt_key
from ultraedit.errors import WorkspaceError
from ultraedit.io.digest import sha256_file
from ultraedit.methods.closed_form import ClosedForm
from ultraedit.methods.located import Located
from ultraedit.workspace import tensors
from ultraedit.workspace.journal import GENESIS, EditRow, SourceRow, TurnRow
from ultraedit.workspace.store import NewTurn, now
from ultraedit.workspace.stream import advance
from ultraedit.workspace.workspace import Workspace, WrittenAgain


@dataclass(frozen=True)
class Change:
    """What was done, in numbers and in a sentence."""

    kind: str
    head: int
    """The turn the workspace stands at now."""
    edits: int
    """Edits undone or taken out."""
    rewritten: int
    """Turns that were edited again to get there."""
    exact: bool
    text: str

    def __str__(self) -> str:
        return self.text


def undo(workspace: Workspace, count: int) -> Change:
    """Undo the last `count` edits (rows of the journal that the head stands on), exact to the bit.

    Where that ends inside a turn, the turn's start is restored exactly and its first edits are written again as a
    turn of their own.  Raises WorkspaceError if there are fewer edits.
    """
    count = arguments.whole(count, "the count of edits to undo")
    path = workspace.history.lineage()
    total = sum(row.edits for row in path)
    if not 1 <= count <= total:
        raise WorkspaceError(
            f"there are {total} edits to undo, not {arguments.quoted(count)}; see `ultraedit log`."
        )
    left = count
    brought_back: list[int] = []
    while left and path[-1].edits <= left:
        row = path.pop()
        left -= row.edits
        brought_back += row.removes  # a subtraction that came after goes with them
    if left:
        done = _undo_part(workspace, path[-1], left, count)
    else:
        done = _go_to(workspace, "undo", path[-1].turn if path else 0, count)
    if not brought_back:
        return done
    also = ", ".join(f"#{n}" for n in brought_back)
    text = f"{done.text} The subtraction of edit {also} came after and was undone with that."
    return replace(done, text=text)


def rollback(workspace: Workspace, name: str) -> Change:
    """Stand at a mark, a turn or the base again, exact to the bit.  Later turns stay in the journal."""
    history = workspace.history
    target = history.resolve(name)
    gone = {row.turn for row in history.lineage()} - {row.turn for row in history.lineage(target)}
    count = sum(history.journal.turns[turn].edits for turn in gone)
    return _go_to(workspace, "rollback", target, count)


def subtract(workspace: Workspace, edit: EditRow) -> Change:
    """Take one edit's own low-rank share out of the weights: instant and approximate.

    Approximate because later edits were computed with it in place, and the statistics keep it.
    Raises WorkspaceError where the edit is not in force or its turn's pairs are no longer kept.
    """
    workspace.store.require_writer()
    _require_current(workspace, edit)
    store, editor = workspace.store, workspace.editor
    if edit.turn not in store.journal.pairs:
        why = (
            f"the low-rank updates of turn {edit.turn} are no longer kept (only those of the last "
            f"{store.config.undo_window} turns written are, and going back brings none of them back)"
        )
        if not isinstance(editor.method, ClosedForm | Located):
            why = f'"{editor.method.name}" writes no low-rank updates'
        raise WorkspaceError(
            f"{why}, so edit #{edit.edit} cannot be subtracted; use replay, which is exact."
        )
    path = store.pairs_path(edit.turn)
    turn = store.journal.turns[edit.turn]
    key = prompt_key(edit.prompt)
    twins = [row.edit for row in store.journal.rows(edit.turn) if prompt_key(row.prompt) == key]
    if edit.edit != twins[-1]:
        raise WorkspaceError(
            f"edit #{edit.edit} was never written: #{twins[-1]} gives its prompt an answer in the same turn; subtract "
            "that one, or use replay."
        )
    if not path.is_file() or sha256_file(path) != (turn.pairs and turn.pairs.sha256):
        raise WorkspaceError(f"'{path}' is damaged or missing; use replay, which does not need it.")
    before = {w.name: w.shift.clone() for w in editor.weights}
    weights = {w.name: w for w in editor.weights}
    position = edit.edit - turn.first_edit
    with _or_nothing(workspace):
        for pair in tensors.load_pairs(path, list(weights)):
            own = pair.owner == position
            weight = weights[pair.module]
            device = weight.shift.device
            weight.commit(Update(pair.left[own].to(device), -pair.right[own].to(device)))
        moved = {
            name: float((w.shift - before[name]).norm() / w.norm) for name, w in weights.items()
        }
        number = store.journal.next_turn
        file, _, shifts, statistics = workspace.put_state(number, None, keep=True)
        row = TurnRow(
            turn=number,
            parent=workspace.head,
            kind="subtract",
            time=now(),
            first_edit=store.journal.edits + 1,
            edits=0,
            with_rephrases=False,
            removes=tuple(twins),  # earlier edits of the prompt in this turn were never written
            shifts=shifts,
            statistics=statistics,
            moved=moved,
            state=file,
            pairs=None,
            seconds=0.0,
        )
        store.commit("subtract", number, turns=[(row, ())], note=f"edit #{edit.edit}")
    text = (
        f"edit #{edit.edit} was subtracted: its own share is out of the weights, but edits written after it were "
        "computed with it in place, so this is approximate (replay is exact)."
    )
    return Change("subtract", number, 1, 0, False, text)


def replay(workspace: Workspace, edit: EditRow) -> Change:
    """Take one edit out exactly: go back before its turn and write everything else since again.

    Edits that were subtracted since then are left out too.  The result is the model that the same turns without
    these edits give.  All of it is acknowledged at once, or nothing.
    """
    workspace.store.require_writer()
    _require_current(workspace, edit)
    path = workspace.history.lineage()
    removed = {edit.edit} | {number for row in path for number in row.removes}
    first = min(
        i
        for i, row in enumerate(path)
        if any(row.first_edit <= number < row.first_edit + row.edits for number in removed)
    )
    start = path[first - 1].turn if first else 0
    again = [
        (row, kept)
        for row in path[first:]
        if row.kind == "edit"
        and (kept := [e for e in workspace.store.journal.rows(row.turn) if e.edit not in removed])
    ]
    with _or_nothing(workspace):
        rebuilt = _bring_to(workspace, start)
        new = _write_again(workspace, start, again)
        head = new[-1][0].turn if new else start
        restored = _restored(workspace, head) if not new else ()
        workspace.store.commit(
            "replay", head, turns=new, restored=restored, note=f"without edit #{edit.edit}"
        )
    text = (
        f"edit #{edit.edit} was taken out by writing {sum(len(k) for _, k in again)} later edits "
        f"({len(again)} turns) again from turn {start}: exact."
    )
    return Change("replay", head, 1, rebuilt + len(again), True, text)


def _go_to(workspace: Workspace, kind: str, target: int, count: int) -> Change:
    store = workspace.store
    store.require_writer()
    there = target == 0 or target in store.journal.states
    rebuilt = 0
    with _or_nothing(workspace):
        if not there:
            rebuilt = _bring_to(workspace, target)
        store.commit(kind, target, restored=() if there else _restored(workspace, target))
        workspace.to_head()
    where = f"turn {target}" if target else "the base model"
    how = (
        f"{rebuilt} turns were edited again to get there, and the digests agree"
        if rebuilt
        else "the stored state was put back"
    )
    edits = f"{count} edit{'s' * (count != 1)}"
    text = f"{edits} undone: the workspace stands at {where}; {how}: exact to the bit."
    return Change(kind, target, count, rebuilt, True, text)


def _undo_part(workspace: Workspace, row: TurnRow, left: int, count: int) -> Change:
    """Undo the last `left` edits of the turn `row`, which is where `count` edits back ends."""
    workspace.store.require_writer()
    rows = list(workspace.store.journal.rows(row.turn))[:-left]
    with _or_nothing(workspace):
        rebuilt = _bring_to(workspace, row.parent)
        source = row.source and _source_before(workspace, row, rows)
        row = row.model_copy(update={"source": source})
        new = _write_again(workspace, row.parent, [(row, rows)])
        workspace.store.commit("undo", new[-1][0].turn, turns=new)
    text = (
        f"{count} edits undone: the start of turn {row.turn} was restored exactly and its first {len(rows)} edits were "
        f"written again as turn {new[-1][0].turn}."
    )
    return Change("undo", new[-1][0].turn, count, rebuilt + 1, True, text)


@contextmanager
def _or_nothing(workspace: Workspace) -> Iterator[None]:
    """All that is done inside, or the live model back at what is acknowledged."""
    try:
        yield
    except BaseException as error:
        workspace.back_to_head()
        if isinstance(error, OSError):
            raise workspace.refused(error) from error
        raise


def _bring_to(workspace: Workspace, target: int) -> int:
    """Bring the live model to a state, by its file or by editing again from the nearest kept one before it.

    Returns how many turns were edited again.  Raises WorkspaceError if the digests of what that gives are not the
    journal's: near the old bits is not good enough.
    """
    history, editor = workspace.history, workspace.editor
    kept = workspace.store.journal.states
    again: list[TurnRow] = []
    at = target
    while at and at not in kept:
        row = history.journal.turns[at]
        if row.kind != "edit":
            raise WorkspaceError(
                f"turn {target} cannot be reached again: the state after the subtraction in turn {at} is no longer "
                "kept; go to an earlier turn."
            )
        again.append(row)
        at = row.parent
    editor.restore(workspace.snapshot(at))
    for row in reversed(again):
        workspace.write([e.record() for e in history.journal.rows(row.turn)], row.with_rephrases)
        if tensors.state_digests(editor.snapshot()) != (row.shifts, row.statistics):
            raise WorkspaceError(
                f"turn {row.turn} is out of the undo window and editing it again gave other bits than before (another "
                "machine, thread count or library version); nothing was changed: go to a turn that is still kept, "
                f"one of {_listed(kept) or 'base'}."
            )
    return len(again)


def _write_again(
    workspace: Workspace, parent: int, turns: list[tuple[TurnRow, list[EditRow]]]
) -> list[NewTurn]:
    """Write some edits of the journal again, turn by turn, on top of state `parent` where the live model stands."""
    journal = workspace.store.journal
    number, first = journal.next_turn, journal.edits + 1
    new: list[NewTurn] = []
    for i, (row, edits) in enumerate(turns):
        records = [edit.record() for edit in edits]
        written = workspace.write(records, row.with_rephrases)
        made = workspace.describe(
            number,
            parent,
            records,
            written,
            row.with_rephrases,
            source=row.source,
            again=WrittenAgain(
                [edit.edit for edit in edits],
                first_edit=first,
                keep=len(turns) - i <= workspace.store.config.undo_window + 1,
            ),
        )
        new.append(made)
        parent, number, first = number, number + 1, first + len(edits)
    return new


def _restored(workspace: Workspace, turn: int) -> tuple[int, ...]:
    """Write the live state down again as that of `turn`, unless it is kept."""
    store = workspace.store
    if turn == 0 or turn in store.journal.states:
        return ()
    state = workspace.editor.snapshot()
    store.put(store.state_path(turn), lambda path: tensors.save_state(path, state))
    return (turn,)


def _require_current(workspace: Workspace, edit: EditRow) -> None:
    status = workspace.history.statuses().get(edit.edit)
    if status is None or status.word == "removed":
        raise WorkspaceError(
            f"edit #{edit.edit} is not in force (it was undone or removed); see `ultraedit log`."
        )


def _source_before(workspace: Workspace, row: TurnRow, kept: list[EditRow]) -> SourceRow | None:
    """Place in the file after only the first edits of a turn."""
    assert row.source is not None
    rows = row.source.rows - row.edits
    digest = GENESIS
    if rows:
        earlier = [
            r.source
            for r in workspace.history.lineage(row.parent)
            if r.source is not None and r.source.rows == rows
        ]
        if not earlier:
            return None
        digest = earlier[-1].rows_sha256
    for edit in kept:
        digest = advance(digest, edit.record())
    return SourceRow(name=row.source.name, rows=rows + len(kept), rows_sha256=digest)


def _listed(turns: set[int]) -> str:
    return ", ".join(str(turn) for turn in sorted(turns))
