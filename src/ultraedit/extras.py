"""The packages that only some work needs: whether they are there, found out before that work and not during it."""

from __future__ import annotations

from importlib.util import find_spec

from ultraedit.errors import ConfigError, UltraEditError

EXTRAS = {
    "ability": ("lm_eval",),
    "baselines": ("peft",),
    "bench": ("jinja2", "matplotlib", "pyarrow"),
    "build": ("ultraeditbench", "duckdb", "pyarrow"),
    "hub": ("datasets",),
    "parquet": ("pyarrow",),
    "quantized": ("bitsandbytes",),
    "serve": ("fastapi", "uvicorn", "prometheus_client"),
}
"""Extra of pyproject.toml -> the modules that it brings, as they are imported."""

FOLDERS = {"ultraeditbench": "packages/ultraeditbench"}
"""Modules of this repository's other packages -> where a clone has them."""


def require(what: str, extra: str, error: type[UltraEditError] = ConfigError) -> None:
    """Raise where a module of `extra` is not installed; the sentence says what `what` needs and how to get it.

    Nothing is imported: asking costs no time.
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if not missing:
        return
    *rest, last = (f"`{name}`" for name in missing)
    names = f"{', '.join(rest)} and {last}" if rest else last
    one = len(missing) == 1
    folders = [FOLDERS[name] for name in missing if name in FOLDERS]
    clone = f", or in a clone: pip install --editable {folders[0]}" if folders else ""
    raise error(
        f"{what} needs the package{'' if one else 's'} {names}; install {'it' if one else 'them'} with: "
        f"pip install 'ultraedit[{extra}]'{clone}"
    )
