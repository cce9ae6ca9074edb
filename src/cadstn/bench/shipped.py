"""How good weights are: what the model in the package must reach, rendered and on real frames."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from cadstn._version import __version__
from cadstn.bench.shipped_beside import compare_seen
from cadstn.bench.shipped_follow import Looker, Seen, false_alarms, follow
from cadstn.bench.shipped_measure import measure, plain
from cadstn.bench.shipped_real import measure_real, real_recordings
from cadstn.bench.shipped_report import goals
from cadstn.bench.shipped_set import Order, Rendered, rendered
from cadstn.errors import CadstnError
from cadstn.geometry.skeleton import HAND21
from cadstn.io.whole import write_json
from cadstn.tracking import Network, Tracker, load_network

#: Shows that something of a name and a length goes on: a context that gives what to call a step.
Bar = Callable[[str, int], AbstractContextManager[Callable[[], None]]]


@contextmanager
def _silent(name: str, length: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def bench_model(
    weights: Path | None = None,
    *,
    recordings: int = 125,
    frames: int = 64,
    empty: int = 32,
    seed: int = 0,
    keep: Path | None = None,
    workers: int = 1,
    threads: int | None = None,
    real: Path | None = None,
    beside: Path | None = None,
    bar: Bar = _silent,
) -> dict[str, Any]:
    """Measure weights: everything ``cadstn bench model`` prints, fit for JSON.

    Args:
        weights: a file of `cadstn export`; None for those that ship.
        recordings: with a hand; 0 for none.
        frames: of each recording.
        empty: recordings without a hand; 0 for none.
        seed: the rendered recordings are a function of it.
        keep: folder that holds them, for other weights; None renders them anew.
        workers: processes that render.
        threads: of the network, see `cadstn.tracking.load_network`.
        real: folder of real recordings, see `cadstn.bench.shipped_real.real_recordings`.
        beside: weights that track the same rendered recordings, to be compared frame by frame.
        bar: shows progress.

    Raises:
        CadstnError: if the weights do not say MediaPipe's 21 joints, a folder is not what it should
            be, or PyTorch is missing where something must be rendered.
    """
    network = _network(weights, threads)
    networks = [network] if beside is None else [network, _network(beside, threads)]
    tracker = Tracker(network)
    report: dict[str, Any] = {
        "weights": "shipped" if weights is None else weights.name,
        "about": network.about,
        "cadstn": __version__,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "seed": seed,
        "frames_per_recording": frames,
        "rendered": None,
        "beside": None,
        "false_alarms": None,
        "real": None,
    }
    if real is not None:
        found = real_recordings(real)
        with bar("real frames", sum(len(recording) for recording in found.values())) as step:
            report["real"] = plain(measure_real(found, tracker, step))
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(passing) if keep is None else keep

        def those(kind: str, count: int) -> Iterator[Rendered]:
            order = Order(seed, frames)
            return rendered(folder, kind, count, order, workers=workers, forget=keep is None)

        if recordings:
            with bar("frames with a hand", len(networks) * recordings * frames) as step:
                following = [_follower(one, step) for one in networks]
                # One after the other on each recording: it may be gone after its turn.
                pairs = [[track(one) for track in following] for one in those("hands", recordings)]
            seen, *others = zip(*pairs, strict=True)
            report["rendered"] = measure(seen)
            if beside is not None:
                compared = compare_seen(seen, others[0])
                report["beside"] = plain({"weights": beside.name, **compared})
        if empty:
            with bar("frames without a hand", empty * frames) as step:
                report["false_alarms"] = false_alarms(those("empty", empty), tracker, step)
    return report


def _network(weights: Path | None, threads: int | None) -> Network:
    network = load_network(weights, threads=threads)
    if network.skeleton != HAND21:
        raise CadstnError(
            f"weights of skeleton {network.skeleton.name}",
            where=weights,
            mend=f"give weights of {HAND21.name}, the joints that are rendered",
        )
    return network


def _follower(network: Network, step: Callable[[], None]) -> Callable[[Rendered], Seen]:
    tracker, given, again = Tracker(network), Looker(network), Looker(network)
    return lambda one: follow(one, tracker, given, again, step)


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write all figures, and what is asked for beside them, as JSON.

    Raises:
        CadstnError: if the file cannot be written.
    """
    beside = [{**goal._asdict(), "reached": goal.reached} for goal in goals(report)]
    write_json(path, {**report, "goals": beside}, indent=2)
