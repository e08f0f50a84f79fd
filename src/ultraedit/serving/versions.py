"""Versions of the edited weights: one per turn of the journal, never changed once made.

A request pins the version it begins with and reads it to its last token, whatever is edited meanwhile.  Only the
edited matrices differ between versions, so that each costs one copy of those.  All of this runs on the model thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ultraedit.errors import WorkspaceError
from ultraedit.model.overlay import Version as Weights
from ultraedit.serving.refusals import Refusal
from ultraedit.workspace.version import version_name
from ultraedit.workspace.workspace import Workspace


class ModelLost(Exception):  # noqa: N818 - not for a user
    """The live model could not be brought back to the head, and was let go: nothing can be served any more."""


@dataclass(eq=False)
class Version:
    """The edited weights after one turn."""

    turn: int
    name: str
    weights: Weights
    pins: int = field(default=0)
    """Requests that are being answered from it."""


class Versions:
    """The versions that are in memory: the base, the head, pinned ones, and others by least use."""

    def __init__(self, workspace: Workspace, most: int) -> None:
        """
        Args:
            workspace: The opened workspace, its live model at the head.
            most: Versions held at once; the base's tensors are held anyway, so it is not counted.
        """
        self._workspace = workspace
        self._most = most
        self._editor = workspace.editor
        self._held: dict[int, Version] = {}
        """Turn -> version, the one asked for last at the end."""
        originals = Weights(tuple(w.original for w in self._editor.weights))
        self.base = Version(0, version_name(workspace.store, 0), originals)
        self.head = self.base
        self.moved()

    @property
    def live(self) -> list[Version]:
        """Every version in memory, the base first."""
        return [self.base, *self._held.values()]

    def moved(self) -> None:
        """Make the head the state the live model now stands at.  Call it when a change is acknowledged.

        Raises ModelLost where an error took the live model away.
        """
        if self._workspace.live is not self._editor:
            raise ModelLost
        turn = self._workspace.head
        if turn == 0:
            self.head = self.base
        else:
            if turn not in self._held:
                self._held[turn] = self._named(turn, self._editor.version())
            self.head = self._held[turn]
        self._let_go()

    def pin(self, turn: int | None) -> Version:
        """The version after a turn (the head for None), to be kept until `unpin`.

        Raises Refusal: 404 where its state is no longer kept, 503 where too many versions are being read.
        """
        found = self.head if turn is None else self._at(turn)
        if found.turn in self._held:
            self._held[found.turn] = self._held.pop(found.turn)  # asked for last
        found.pins += 1
        return found

    def unpin(self, version: Version) -> None:
        """The request is over."""
        version.pins -= 1
        self._let_go()

    @contextmanager
    def reading(self, version: Version) -> Iterator[None]:
        """The model with the weights of a version, inside the block; the live ones stay where they are, so that a turn
        that is not finished may be written in them."""
        with self._editor.reading(version.weights):
            yield

    def _named(self, turn: int, weights: Weights) -> Version:
        return Version(turn, version_name(self._workspace.store, turn), weights)

    def _at(self, turn: int) -> Version:
        if turn == 0:
            return self.base
        if turn in self._held:
            return self._held[turn]
        self._let_go(room=1)
        if len(self._held) >= self._most:
            raise Refusal(
                503,
                f"{len(self._held)} versions of the weights are being read, which is as many as this server holds; "
                "ask again when their requests are through, or ask the newest.",
                retry_after=2,
            )
        try:
            snapshot = self._workspace.snapshot(turn)
        except WorkspaceError as error:
            raise Refusal(404, str(error), param="model") from error
        self._held[turn] = self._named(turn, self._editor.version(snapshot))
        return self._held[turn]

    def _let_go(self, room: int = 0) -> None:
        """Drop versions that nobody reads, least used first, until `room` more would fit."""
        for turn, version in list(self._held.items()):
            if len(self._held) + room <= self._most:
                return
            if version.pins == 0 and version is not self.head:
                del self._held[turn]
