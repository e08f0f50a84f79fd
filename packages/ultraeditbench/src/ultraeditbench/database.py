"""The work database of a build: one DuckDB file, one transaction a stage, so that a killed build
resumes.

Knows nothing of what the stages do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultraedit.errors import ConfigError, DataError
from ultraeditbench.config import BuildConfig

if TYPE_CHECKING:
    import duckdb


class WorkDatabase:
    """Tables of the build, the stages that are done, and the counts that the card reports."""

    def __init__(self, folder: Path, config: BuildConfig) -> None:
        """Opens or creates `folder/build.duckdb`.

        Raises `DataError` when it belongs to a build with other settings or other input.
        """
        import duckdb

        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.con: duckdb.DuckDBPyConnection = duckdb.connect(str(folder / "build.duckdb"))
        except duckdb.Error as error:
            raise DataError(
                f"The unfinished build in {str(folder)!r} cannot be opened; another build may be "
                "running there, "
                "or the file is damaged: delete the folder to start over."
            ) from error
        self._set("memory_limit", config.memory, "memory", "give a size like 3GB")
        self._set("threads", str(config.threads), "threads", "give a number of processors")
        self.con.execute("SET preserve_insertion_order = false")
        self.con.execute(f"SET temp_directory = {_literal(str(folder / 'spill'))}")
        self.con.execute("SET enable_progress_bar = false")
        self.con.execute("CREATE TABLE IF NOT EXISTS settings (body VARCHAR)")
        self.con.execute("CREATE TABLE IF NOT EXISTS done (stage VARCHAR, seconds DOUBLE)")
        self.con.execute("CREATE TABLE IF NOT EXISTS counts (ord INTEGER, name VARCHAR, n BIGINT)")
        body = json.dumps(config.fingerprint(), sort_keys=True, default=str)
        held = self.con.execute("SELECT body FROM settings").fetchone()
        if held is None:
            self.con.execute("INSERT INTO settings VALUES (?)", [body])
        elif held[0] != body:
            self.con.close()
            raise DataError(
                f"{str(folder)!r} holds an unfinished build with other settings or other input; "
                "delete that folder or choose another --out."
            )

    def _set(self, setting: str, value: str, option: str, hint: str) -> None:
        import duckdb

        try:
            self.con.execute(f"SET {setting} = {_literal(value)}")
        except duckdb.Error as error:
            self.con.close()
            why = str(error).splitlines()[0]
            raise ConfigError(f"--{option} '{value}' cannot be used ({why}); {hint}.") from error

    def close(self) -> None:
        """Closes the file; the stages done so far stay in it."""
        self.con.close()

    def run(self, stage: str, work: Callable[[WorkDatabase], None]) -> float:
        """Runs a stage in one transaction unless it is done already; gives the seconds it took
        when it ran."""
        held = self.con.execute("SELECT seconds FROM done WHERE stage = ?", [stage]).fetchone()
        if held is not None:
            return held[0]
        import duckdb

        begin = time.monotonic()
        self.con.begin()
        try:
            work(self)
            seconds = time.monotonic() - begin
            self.con.execute("INSERT INTO done VALUES (?, ?)", [stage, seconds])
            self.con.commit()
        except BaseException:
            # a database that failed as a whole has no transaction left to take back, and would hide its own error
            with suppress(duckdb.Error):
                self.con.rollback()
            raise
        self.con.execute("CHECKPOINT")
        return seconds

    def count(self, name: str, n: int) -> None:
        """Notes a figure for the card, in the order of the calls."""
        self.con.execute("INSERT INTO counts SELECT count(*), ?, ? FROM counts", [name, n])

    def counts(self) -> dict[str, int]:
        """All figures noted so far, in order."""
        return dict(self.con.execute("SELECT name, n FROM counts ORDER BY ord").fetchall())

    def one(self, query: str, *values: Any) -> Any:
        """The first cell of a query's result."""
        row = self.con.execute(query, list(values)).fetchone()
        return None if row is None else row[0]


def _literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
