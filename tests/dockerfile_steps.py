"""Runs the Dockerfile's steps in a clean virtual environment, since no container runs in the tests.

    python tests/dockerfile_steps.py

Copies what COPY names and .dockerignore lets through into an empty folder, runs the RUN steps that install there (those
that make users are only read by the shell), makes a workspace of a tiny model, starts ENTRYPOINT with CMD on it, and
runs HEALTHCHECK until it says yes.  Takes minutes and a package index.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from dockerfile import ROOT, instructions, sent


def copy(names: list[str], to: Path) -> None:
    for name in names:
        source = ROOT / name
        files = [source] if source.is_file() else [p for p in source.rglob("*") if p.is_file()]
        for file in files:
            relative = file.relative_to(ROOT)
            if sent(str(relative)):
                (to / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, to / relative)


def main() -> None:
    found = instructions()
    with tempfile.TemporaryDirectory() as scratch:
        app, data = Path(scratch) / "app", Path(scratch) / "data"
        app.mkdir()
        data.mkdir()
        venv.create(Path(scratch) / "venv", with_pip=True)
        bin_ = Path(scratch) / "venv" / "bin"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        environment = kept | {"PATH": f"{bin_}:{os.environ['PATH']}", "HOME": scratch}
        for one in found:
            if one.word == "COPY":
                copy(one.rest.split()[:-1], app)
            if one.word == "RUN":
                runs = one.rest.startswith("pip ")
                print("RUN" if runs else "read only:", one.rest, flush=True)
                command = ["sh", "-ec" if runs else "-nc", one.rest]
                subprocess.run(command, cwd=app, env=environment, check=True)
        sys.path.insert(0, str(ROOT / "tests"))
        model = _tiny(data / "model", bin_, environment)
        place = data / "workspace"
        text = "A river runs past the mill and under the bridge. " * 8
        (data / "text.txt").write_text(text)
        init = ["init", str(place), "--model", str(model), "--text", str(data / "text.txt")]
        subprocess.run([bin_ / "ultraedit", *init], env=environment, check=True)
        words = {
            one.word: one.words for one in found if one.word in ("ENTRYPOINT", "CMD", "HEALTHCHECK")
        }
        port = "18000"
        command = [*words["ENTRYPOINT"], str(place), *words["CMD"][1:-1], port]
        refused = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert refused.returncode == 2, "it must not be public without a key"
        assert "ULTRAEDIT_ADMIN_KEY" in refused.stderr
        keyed = environment | {"ULTRAEDIT_ADMIN_KEY": "k" * 24}
        server = subprocess.Popen(command, env=keyed)
        try:
            check = [word.replace("8000", port) for word in words["HEALTHCHECK"]]
            until = time.monotonic() + 180
            while subprocess.run(check, env=keyed, capture_output=True, check=False).returncode:
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < until, "the health check never said yes"
                time.sleep(1)
        finally:
            server.send_signal(signal.SIGTERM)
            ended = server.wait(60)
        print(f"healthy; ended with {ended}")
        sys.exit(ended)


def _tiny(folder: Path, bin_: Path, environment: dict[str, str]) -> Path:
    """Made by the new environment's own packages."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import tiny; "
        f"tiny.llama(max_position_embeddings=2048).save_pretrained({str(folder)!r}); "
        f"tiny.tokenizer(chat=True).save_pretrained({str(folder)!r})"
    )
    subprocess.run([bin_ / "python", "-c", code], env=environment, check=True)
    return folder


if __name__ == "__main__":
    main()
