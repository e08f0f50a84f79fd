"""What the numbers were made on: versions, hardware, and the model as it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from ultraedit import __version__
from ultraedit.evaluation.schema import Hardware, ModelInfo

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "lm-eval")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers; those not installed are left
    out."""
    # a clone that was not installed has no metadata of its own
    found = {"python": platform.python_version(), "ultraedit": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def hardware(model: PreTrainedModel) -> Hardware:
    """The device the model lies on, and the machine around it."""
    import psutil
    import torch

    from ultraedit.model.runner.rows import ids_device

    device = ids_device(model)
    on_gpu = device.type == "cuda"
    return Hardware(
        device=torch.cuda.get_device_name(device) if on_gpu else _processor(),
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        threads=torch.get_num_threads(),
    )


def _processor() -> str:
    """The processor's name where the system tells it, else the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def model_info(model: PreTrainedModel, name: str) -> ModelInfo:
    """Name, dtype, size and class of a loaded model; shared weights count once."""
    return ModelInfo(
        name=name,
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=sum(p.numel() for p in model.parameters()),
        architecture=type(model).__name__,
    )
