"""The packages that only some work needs: whether they are there, found out before that work and not after."""

from __future__ import annotations

from importlib.util import find_spec

from ultraedit.errors import ConfigError

EXTRAS = {
    "bench": ("jinja2", "matplotlib", "pyarrow"),
    "build": ("ultraeditbench", "duckdb", "pyarrow"),
    "hub": ("datasets",),
    "parquet": ("pyarrow",),
}
"""Extra of pyproject.toml -> what it brings, as the modules are called in an import."""

FROM_A_CLONE = {"ultraeditbench": "packages/ultraeditbench"}
"""Packages of this repository -> their folders."""


def require(what: str, extra: str) -> None:
    """Raise ConfigError where a package of `extra` is not installed, in a sentence that says how `what` gets it."""
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if not missing:
        return
    folders = [FROM_A_CLONE[name] for name in missing if name in FROM_A_CLONE]
    clone = f" (in a clone: pip install --editable {' '.join(folders)})" if folders else ""
    are = "which is" if len(missing) == 1 else "which are"
    raise ConfigError(
        f"{what} needs {' and '.join(missing)}, {are} not installed: "
        f"pip install 'ultraedit[{extra}]'{clone}."
    )
