"""A plain checkpoint that transformers loads alone, in the live model's dtype and the sharding of the base."""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from ultraedit.editing.notes import notes_of, write_notes
from ultraedit.editing.plain import write_plain
from ultraedit.export.edited import Edited
from ultraedit.model.load import resolve
from ultraedit.model.quantised import require_whole

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
"""`owner/name` on the hub."""
INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"


def write_merged(edited: Edited, folder: Path) -> None:
    """Write the live model and its tokenizer into `folder`, which exists."""
    require_whole(edited.model, edited.base)
    write_plain(edited.model, folder)
    edited.tokenizer.save_pretrained(folder)
    if base := base_folder(edited.base):
        shard_as(folder, base)
    write_notes(folder, notes_of(edited))


def base_folder(base: str) -> Path | None:
    """Where the base's files lie on this machine, if they do."""
    folder = Path(resolve(base))
    if folder.is_dir():
        return folder
    if not HUB_ID.fullmatch(base):
        return None
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(base, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def shard_as(folder: Path, base: Path) -> None:
    """Lay the checkpoint in `folder` out in the files of the base: same names, same tensors in each.

    A checkpoint whose tensors are called or counted otherwise than the base's (an old base saved before its family
    was renamed, say) stays as transformers wrote it.  One shard is in memory at a time.
    """
    wanted, found = _map(base), _map(folder)
    if wanted == found or set(wanted) != set(found):
        return
    old = {name: folder / file for name, file in found.items()}
    for path in {*old.values()}:
        path.rename(path.with_suffix(".whole"))
    total = 0
    for file in sorted({*wanted.values()}):
        shard = {}
        for name in (n for n, f in wanted.items() if f == file):
            with safe_open(old[name].with_suffix(".whole"), framework="pt") as source:
                shard[name] = source.get_tensor(name)
        total += sum(t.nbytes for t in shard.values())
        save_file(shard, folder / file, metadata={"format": "pt"})
    for path in {*old.values()}:
        path.with_suffix(".whole").unlink()
    (folder / INDEX).unlink(missing_ok=True)
    if (base / INDEX).is_file():
        content = json.loads((base / INDEX).read_text(encoding="utf-8"))
        content["metadata"] = {"total_size": total}
        (folder / INDEX).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _map(folder: Path) -> dict[str, str]:
    """Tensor name -> file, of a checkpoint in safetensors; empty for one in another format."""
    if (folder / INDEX).is_file():
        return json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
    if not (folder / WHOLE).is_file():
        return {}
    with safe_open(folder / WHOLE, framework="pt") as file:
        return dict.fromkeys(file.keys(), WHOLE)
