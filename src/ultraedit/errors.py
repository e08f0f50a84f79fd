"""The errors a user can meet.  Each message is one clear sentence that quotes the input and says what to do.

The command line prints the message and exits with code 2; nothing is ever half written behind one.
"""

from __future__ import annotations

LONGEST = 2_000
"""Characters of a message, at most: it quotes the user's input, which may be a whole book."""


class UltraEditError(Exception):
    """Base of every error raised on purpose by this package.

    The message is kept to one printable line, whatever input it quotes.
    """

    def __init__(self, message: str = "") -> None:
        printable = message.encode("utf-8", "backslashreplace").decode("utf-8")
        line = printable.replace("\r", "\\r").replace("\n", "\\n")
        if len(line) > LONGEST:  # what is wrong stands at the start, and what to do at the end
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 2 + 5 :]}"
        super().__init__(line)


class DataError(UltraEditError):
    """A file, row or field of the user's facts cannot be used."""


class ModelError(UltraEditError):
    """A model cannot be loaded, or its structure cannot be edited."""


class NumericalError(UltraEditError):
    """A turn produced a non-finite number; it was refused and the model is untouched."""


class ConfigError(UltraEditError):
    """A setting is unknown, out of range, or contradicts another."""


class WorkspaceError(UltraEditError):
    """A workspace is locked, damaged, or of another version."""


class ServerError(UltraEditError):
    """A server that edits are pushed to does not answer, refuses, or answers otherwise than the model."""
