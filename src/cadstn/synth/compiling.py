"""Whether torch.compile works on this machine: it needs a compiler of C++ beside PyTorch."""

from __future__ import annotations

import functools
import logging

import torch

from cadstn.errors import CadstnError


def check_compiles(device: str = "cpu") -> None:
    """Raise CadstnError, naming the cause, if torch.compile does not work on a device."""
    if (cause := why_not_compiled(device)) is not None:
        raise CadstnError(
            f"torch.compile does not work here ({cause})",
            hint="install a C++ compiler (Debian: apt-get install g++); where a command takes it, "
            "--set compiled=false --set step_mode=eager does without, several times slower",
        )


@functools.cache
def why_not_compiled(device: str = "cpu") -> str | None:
    """Compile something small for a device: None if that works, else the cause in one line."""
    log = logging.getLogger("torch._inductor")
    try:
        log.disabled = True  # it logs a page for what is one line
        torch.compile(_tried)(torch.ones(8, device=device))
    except Exception as error:  # each part of the compiler has its own
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    finally:
        log.disabled = False
    return None


def _tried(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1
