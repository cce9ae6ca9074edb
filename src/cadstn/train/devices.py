"""Which device a command runs on."""

from __future__ import annotations

import torch

from cadstn.errors import CadstnError

NAMES = "cpu, cuda (or gpu), or auto"


def pick_device(name: str) -> str:
    """Return ``cpu`` or a CUDA device for the name that a user gives.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1`` and so on, ``gpu`` for ``cuda``, or ``auto`` for a GPU
            where there is one.

    Raises:
        CadstnError: if there is no such device here.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    kind, _, number = ("cuda" if name == "gpu" else name).partition(":")
    if kind == "cpu" and not number:
        return "cpu"
    if kind != "cuda" or (number and not number.isdigit()):
        raise CadstnError(f"no device '{name}'", where="--device", hint=f"give {NAMES}")
    if not there:
        raise CadstnError(
            f"no GPU that this PyTorch ({torch.__version__}) can use",
            where=f"--device {name}",
            hint="give --device cpu or auto, or install a CUDA build of PyTorch",
        )
    if number and int(number) >= torch.cuda.device_count():
        raise CadstnError(
            f"{torch.cuda.device_count()} GPUs here",
            where=f"--device {name}",
            hint="numbers count from 0",
        )
    return f"cuda:{number}" if number else "cuda"
