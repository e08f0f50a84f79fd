"""A way of changing what a server answers: what it lacks, loading, and going back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

from ultraedit.errors import ServerError
from ultraedit.pushing.asking import Asker
from ultraedit.pushing.endpoint import Endpoint

Takes = Literal["lora", "gguf-lora", "merged"]


class RankTooHigh(Exception):  # noqa: N818 - not for a user
    """The server said which rank it takes at most."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.most = most


class Way(ABC):
    """One server and one way into it.  What `load` and `rename` change, `go_back` takes back, in reverse order."""

    takes: ClassVar[Takes]
    """The kind of export that goes this way."""
    names_versions: ClassVar[bool]
    """Each version is served under a name of its own, beside the former ones."""

    def __init__(self, endpoint: Endpoint, server: str, rank: int | None = None) -> None:
        """
        Args:
            endpoint: Where the server is.
            server: Its kind and version, in words.
            rank: The highest rank of an adapter that it takes; None where it does not say.
        """
        self.endpoint = endpoint
        self.server = server
        self.rank = rank
        self._undo: list[Callable[[], None]] = []

    @abstractmethod
    def lacks(self) -> list[str]:
        """What the server must be started with and was not, in words; asking changes nothing."""

    @abstractmethod
    def base(self) -> Asker | None:
        """The unedited model there; None where this way changes it."""

    @abstractmethod
    def base_path(self) -> str:
        """What the server calls its own model: a folder, a file or a hub id."""

    @abstractmethod
    def loaded(self) -> dict[str, str]:
        """Name -> place, as the server sees it, of everything pushed that it can answer from now."""

    @abstractmethod
    def load(self, name: str, place: str) -> Asker:
        """Let the server answer from what lies at `place`.

        Raises ServerError where it does not, and RankTooHigh where it says which rank it takes.
        """

    def rename(self, name: str, place: str) -> Asker:
        """Let a fixed name answer from what lies at `place`, whatever it answered from before."""
        raise ServerError(
            f"{self.server} serves no model under a name of yours this way; leave --as out."
        )

    def settle(self) -> None:
        """What is left to be done once the answers were right."""
        return

    def unload(self, name: str) -> None:
        """Forget a version."""
        raise ServerError(
            f"{self.server} keeps no versions by name this way, so '{name}' cannot be forgotten."
        )

    def remember(self, places: Mapping[str, str]) -> None:
        """Name -> place of what was pushed to this server before, for ways that the server itself does not tell."""
        return

    def go_back(self) -> None:
        """Bring back what was served before `load`.  Raises ServerError where the server does not do it."""
        while self._undo:
            self._undo[-1]()
            self._undo.pop()
