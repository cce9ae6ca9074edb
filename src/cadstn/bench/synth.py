"""How fast hands are rendered, in what memory, beside the oracle that does it pixel by pixel."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cadstn.bench.text import table
from cadstn.geometry.camera import Camera
from cadstn.synth.compiling import check_compiles
from cadstn.synth.draws import Draws
from cadstn.synth.oracle import Solids
from cadstn.synth.raster import camera_view, cast, crop_view
from cadstn.synth.scene import sample_centers, sample_scene
from cadstn.synth.stream import sample_clips
from cadstn.tracking.doctor import processor_name

VGA = Camera(475.0, 475.0, 320.0, 240.0, 640, 480)
SIZE, CUBE_MM = 128, 250.0
_SEED = (0, 3)
_AGREES_MM = 0.01


@dataclass(frozen=True)
class Rate:
    """One way of rendering, measured."""

    # ``crops``, ``crops with noise``, ``cast`` (depth alone of scenes that are there), ``frames``
    # (depth of full frames, scene included), or the oracle's
    what: str
    batch: int  # images at once
    workers: int  # threads that each render a share of the batch
    per_s: float  # images a second, median of the rounds
    fastest_per_s: float  # of the best round
    # highest resident memory (on a GPU: allocated) above what was there before
    memory_mb: float | None


def bench_synth(
    batches: tuple[int, ...],
    *,
    device: str = "cpu",
    compiled: bool = True,
    workers: int = 2,
    rounds: int = 5,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Time the renderer.

    Args:
        batches: how many images at once.
        device: where to render.
        compiled: use torch.compile, as a training does.
        workers: also with so many threads beside one another, each with a share of the batch.
        rounds: measured, after one that is not.
        progress: called with a line of progress.

    Returns:
        ``machine`` and ``rates``, plain values for JSON.
    """
    if compiled:
        check_compiles(device)
    rates = []
    jobs: list[tuple[str, Callable[[Tensor], object]]] = [
        ("crops", lambda index: _crops(index, device, compiled, clean=True)),
        ("crops with noise", lambda index: _crops(index, device, compiled, clean=False)),
    ]
    for what, job in jobs:
        for batch in batches:
            for count in sorted({1, workers}):
                progress(f"{what}, {batch} at once, {count} worker(s)")
                rates.append(_measured(what, job, batch, count, rounds, device))
    for batch in batches:
        progress(f"cast, {batch} at once")
        rates.append(
            _measured("cast", _cast_job(batch, device, compiled), batch, 1, rounds, device)
        )
    progress("frames of 640x480")
    rates.append(
        _measured("frames", lambda index: _frames(index, device, compiled), 8, 1, rounds, device)
    )
    progress("the oracle")
    rates += _oracle(device, compiled)
    return {"machine": _machine(device), "rates": [asdict(rate) for rate in rates]}


def report_lines(report: dict[str, Any]) -> list[str]:
    """Return the report as a Markdown table under the machine's line."""
    rows = []
    for rate in report["rates"]:
        slow = rate["per_s"] < 10
        speed = "{:.4f} ({:.4f})" if slow else "{:,.0f} ({:,.0f})"
        memory = "" if rate["memory_mb"] is None else f"{rate['memory_mb']:.0f}"
        text = speed.format(rate["per_s"], rate["fastest_per_s"])
        rows.append((rate["what"], rate["batch"], rate["workers"], text, memory))
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    return [machine, "", *table("| what | at once | workers | a second (best) | memory MB |", rows)]


def _crops(index: Tensor, device: str, compiled: bool, *, clean: bool) -> Tensor:
    clips = sample_clips(
        _SEED, index, 1, cube_mm=CUBE_MM, size=SIZE, device=device, compiled=compiled, clean=clean
    )
    return clips.crops


def _cast_job(batch: int, device: str, compiled: bool) -> Callable[[Tensor], object]:
    index = torch.arange(batch, device=device)
    scene = sample_scene(Draws(_SEED, index), 1)
    centers = sample_centers(Draws(_SEED, index), scene.joints_xyz_mm, 1)
    view, far = crop_view(centers, CUBE_MM, SIZE), centers[:, 2] + CUBE_MM
    return lambda _: cast(scene.cones, view, planes=scene.planes, far_mm=far, compiled=compiled)


def _frames(index: Tensor, device: str, compiled: bool) -> Tensor:
    scene = sample_scene(Draws(_SEED, index.to(device)), 1)
    view = camera_view(VGA, len(index), device)
    return cast(scene.cones, view, planes=scene.planes, compiled=compiled)


def _oracle(device: str, compiled: bool) -> list[Rate]:
    """The oracle's rate on one crop in a hundred pixels, which must be those of the renderer.

    Raises:
        AssertionError: if they are more than 0.01 mm apart where nothing is grazed.
    """
    index = torch.arange(2, device=device)
    scene = sample_scene(Draws(_SEED, index), 1)
    centers = sample_centers(Draws(_SEED, index), scene.joints_xyz_mm, 1)
    view = crop_view(centers, CUBE_MM, SIZE)
    depth = cast(scene.cones, view, planes=scene.planes, compiled=compiled).cpu()
    began, pixels = time.perf_counter(), 0
    for row in range(len(index)):
        solids = Solids(scene.cones, scene.planes.cpu(), row)
        x0, y0, step_x, step_y = (float(field[row]) for field in view[:4])
        for place in range(0, SIZE * SIZE, 101):
            i, j = divmod(place, SIZE)
            expected, grazing = solids.cast(x0 + j * step_x, y0 + i * step_y)
            found = float(depth[row, i, j])
            assert grazing or expected == found or abs(expected - found) < _AGREES_MM, (i, j)
            pixels += 1
    rate = pixels / (time.perf_counter() - began) / SIZE**2
    return [Rate("oracle, crops", 1, 1, rate, rate, None)]


def _measured(
    what: str, job: Callable[[Tensor], object], batch: int, workers: int, rounds: int, device: str
) -> Rate:
    """Time a job; every round renders other samples."""
    threads = torch.get_num_threads()
    cuda = device.startswith("cuda")
    with ThreadPoolExecutor(workers) as pool:
        if workers > 1:
            torch.set_num_threads(1)
            list(pool.map(lambda _: torch.set_num_threads(1), range(workers)))

        def render(first: int) -> None:
            index = torch.arange(first, first + batch)
            list(pool.map(job, index.chunk(workers)))
            if cuda:
                torch.cuda.synchronize()

        try:
            render(0)
            before = _reset_memory(cuda)
            times = []
            for number in range(1, rounds + 1):
                began = time.perf_counter()
                render(number * batch)
                times.append(time.perf_counter() - began)
            after = _peak_memory(cuda)
        finally:
            torch.set_num_threads(threads)
    memory = None if before is None or after is None else (after - before) / 2**20
    return Rate(what, batch, workers, batch / statistics.median(times), batch / min(times), memory)


def _reset_memory(cuda: bool) -> int | None:
    """Begin a new highest mark; what is in use now, in bytes, where it can be known."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what a round before keeps would hide what one takes
        Path("/proc/self/clear_refs").write_text("5")  # Linux: VmHWM starts anew
    except (OSError, AttributeError, TypeError):
        return None
    return _status("VmRSS")


def _peak_memory(cuda: bool) -> int | None:
    return torch.cuda.max_memory_allocated() if cuda else _status("VmHWM")


def _status(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), None)


def _machine(device: str) -> dict[str, Any]:
    machine: dict[str, Any] = {"cpu": processor_name(), "threads": torch.get_num_threads()}
    if device.startswith("cuda"):
        machine["gpu"] = torch.cuda.get_device_name()
    return {**machine, "torch": torch.__version__}
