"""The file of `ultraedit edit --receipts`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ultraedit.errors import ConfigError
from ultraedit.io.atomic import put_in_place, remove, temporary_name

if TYPE_CHECKING:
    from ultraedit.editing.editor import WrittenTurn


class ReceiptFile:
    """Receipts go to a temporary name and get their own when the model is saved.

    A disk that refuses them costs no edits: the model is saved first, and then it is told.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._problem: OSError | None = None
        self._scratch = path and temporary_name(path)

    @contextmanager
    def writing(self) -> Iterator[Callable[[WrittenTurn], None]]:
        if self._scratch is None:
            yield lambda written: None
            return
        try:
            with ExitStack() as stack:
                sink: IO[str] | None = None
                try:
                    sink = stack.enter_context(self._scratch.open("w", encoding="utf-8"))
                except OSError as error:
                    self._problem = error

                def write(written: WrittenTurn) -> None:
                    if sink is None or self._problem is not None:
                        return
                    try:
                        for receipt in written.receipts:
                            line = json.dumps(receipt.as_dict(), ensure_ascii=False)
                            sink.write(line + "\n")
                        sink.flush()
                    except OSError as error:
                        self._problem = error

                yield write
        except BaseException:
            remove(self._scratch)
            raise

    def place(self, out: Path) -> None:
        """Raise ConfigError where the receipts could not be written; the model is at `out` all the same."""
        if self._scratch is None or self._path is None:
            return
        try:
            if self._problem is not None:
                raise self._problem
            put_in_place(self._scratch, self._path)
        except OSError as error:
            remove(self._scratch)
            raise ConfigError(
                f"the edited model was saved to '{out}', but its receipts could not be written to '{self._path}' "
                f"({error.strerror or error}); free some space for the next run."
            ) from error
