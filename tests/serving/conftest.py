"""The command line in this process, as the tests of its verbs run it."""

from cli.conftest import run

__all__ = ["run"]
