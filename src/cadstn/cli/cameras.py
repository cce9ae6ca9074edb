"""Commands of cameras: live, doctor."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from cadstn.cli.outputs import targets
from cadstn.cli.shared import (
    AS_JSON,
    CAMERA,
    FIT,
    PATTERN,
    SCALE,
    THREADS,
    UNIT,
    WEIGHTS,
    echo,
    scaled_camera,
)
from cadstn.errors import CadstnError


@click.command()
@click.argument("source", default="realsense")
@CAMERA
@SCALE
@PATTERN
@UNIT
@WEIGHTS
@click.option(
    "--view", type=click.Choice(["window", "plain", "browser", "file"]), is_flag=False,
    flag_value="window",
    help="Show it. window: rerun's, or a plain one where rerun is not installed; plain: always a "
    "plain window; browser: rerun in the browser; file: write view.rrd to --out.",
)  # fmt: skip
@click.option(
    "--serve", type=click.IntRange(0, 65535), is_flag=False, flag_value=8765, metavar="[PORT]",
    help="Serve a page that shows it, at this port of this machine; 8765 where none is given.",
)  # fmt: skip
@click.option("--host", help="With --serve: listen at this address, not at 127.0.0.1 alone.")
@click.option(
    "--emit", type=click.Choice(["jsonl"]), help="One line a hand and frame to standard output."
)
@click.option("--joints", default="hand21", type=click.Choice(["hand21", "openxr", "mano"]),
              show_default=True,
              help="Names and order of the joints that are written and sent.")  # fmt: skip
@click.option(
    "--pose", is_flag=True,
    help="Add joint angles, pinch, grasp, gesture and the wrist's pose to lines and OSC.",
)  # fmt: skip
@click.option("--task", help="What is done, for --lerobot.  [default: move the hand]")
@click.option(
    "--lerobot", type=click.Path(path_type=Path), metavar="DIR",
    help="Record depth and hands as a LeRobot v3 data set (extra 'lerobot').",
)  # fmt: skip
@click.option("--osc", metavar="HOST:PORT",
              help="Send OSC bundles, one a frame and hand (extra 'osc').")  # fmt: skip
@click.option("--udp", metavar="HOST:PORT", help="Send the lines of --emit, one a datagram.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for joints.jsonl, live.webm.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long.")
@click.option("--smooth", default="none", show_default=True,
              type=click.Choice(["none", "exponential", "one-euro"]),
              help="See docs/speed.md for what each costs.")  # fmt: skip
@click.option("--hands", default=1, show_default=True, type=click.IntRange(1, 4),
              help="Follow so many hands; each is a line of its own in --emit.")  # fmt: skip
@THREADS
@FIT
@click.option(
    "--fast", is_flag=True, help="Play a recording or a data set as fast as it is tracked."
)
@click.option("--loop", is_flag=True, help="Play a recording again and again, until Ctrl-C.")
def live(
    source: str,
    camera: str | None,
    scale: float | None,
    pattern: str | None,
    unit: str | None,
    weights: Path | None,
    view: str | None,
    serve: int | None,
    host: str | None,
    emit: str | None,
    joints: str,
    pose: bool,
    out: Path | None,
    seconds: float | None,
    smooth: str,
    hands: int,
    threads: int | None,
    fit: bool,
    fast: bool,
    loop: bool,
    **sending: Any,
) -> None:
    r"""Track a camera, or anything else that gives depth frames, as they come.

    SOURCE is realsense, orbbec, luxonis, synthetic, demo, a recording, a RealSense .bag or .db3
    file, or the folder of NYU, ICVL or MSRA15. Ctrl-C ends it, or a closed plain window; what was
    written is whole. A view in the browser stays until Ctrl-C. Hands are searched from 0.15 to 2.5
    m from the camera.

    \b
    cadstn live realsense --view
    cadstn live demo --serve --loop
    cadstn live demo --emit jsonl --seconds 5
    cadstn live realsense --osc 127.0.0.1:9000
    cadstn live my_recording --out result --smooth one-euro
    """
    from cadstn.io.text import duration
    from cadstn.io.whole import keep_inputs
    from cadstn.io.workers import interrupt_once, signals_end_it
    from cadstn.tracking import Tracker, load_network
    from cadstn.tracking.cameras import CAMERAS, open_source
    from cadstn.tracking.filters import make_filter
    from cadstn.tracking.listeners import Listeners, StatusLine
    from cadstn.tracking.live import Tally, track_source
    from cadstn.tracking.serve import HOST
    from cadstn.tracking.video import NO_VIDEO

    def tell(line: str) -> None:
        echo(line, err=True)

    def warn(line: str) -> None:
        tell(f"warning: {line}")

    lines_go = emit or out or sending["osc"] or sending["udp"]
    at_its_own_rate = source.partition(":")[0] in (*CAMERAS, "synthetic")
    for option, needs, useless in (
        ("--fast", "a recording or a data set", fast and at_its_own_rate),
        ("--host", "--serve", host is not None and serve is None),
        ("--task", "--lerobot", sending["task"] is not None and sending["lerobot"] is None),
        ("--pose", "--emit, --out, --udp or --osc", pose and not lines_go),
        ("--joints", "--emit, --out, --udp or --osc", joints != "hand21" and not lines_go),
    ):
        if useless:
            raise CadstnError(f"{option} does nothing without {needs}", hint=f"give {needs}")
    if out is not None:
        keep_inputs(out, [Path(source)])
    at = None if serve is None else (host or HOST, serve)
    full, left_out = False, _LeftOut()
    gone: BrokenPipeError | None = None
    status = None if view or emit or out else StatusLine(sys.stderr)
    network = load_network(weights, threads=threads)
    tracker = Tracker(network, hands=hands, fit=fit)
    tally = Tally()
    stdout = _own_stdout() if emit else nullcontext()
    # As Ctrl-C, or a video that is cut off would be no file.
    with signals_end_it(interrupt_once), stdout as lines:
        frames = open_source(
            source, scaled_camera(source, camera, scale), pattern=pattern, unit=unit,
            real_time=not fast, loop=loop, on_bad=lambda bad: left_out(bad.error),
            on_wait=lambda pause_s: tell(f"waiting {duration(pause_s)} for the next frame"),
        )  # fmt: skip
        with (
            Listeners(
                network.skeleton, out, lines, joints, view, pose, at, frames.live
            ) as listeners,
            targets(network, joints, pose, tell, **sending) as sinks,
        ):
            if listeners.kept:
                names = ", ".join(path.name for path in listeners.kept)
                tell(f"a session that was cut off left files in {out}: kept as {names}")
            if listeners.url is not None:
                echo(f"open {listeners.url}", err=True)
            try:
                for seen in track_source(
                    frames, tracker, smooth=lambda: make_filter(smooth), seconds=seconds,
                    on_bad=left_out, on_warning=warn, tally=tally,
                ):  # fmt: skip
                    for sink in sinks:  # first: whoever gets these waits for them
                        sink(seen)
                    listeners(seen)
                    if listeners.full and not full:
                        full = True
                        warn("view.rrd has reached its size: hands go on, depth is left out")
                    if status is not None:
                        status(seen)
                    if listeners.closed:
                        break
                if listeners.url is not None and seconds is None:
                    # What the browser shows comes from here, and ends with this process.
                    echo(f"it has ended; {listeners.url} stays until Ctrl-C", err=True)
                    _until_interrupted()
            except KeyboardInterrupt:
                pass  # what was written is placed and listed
            except BrokenPipeError as error:
                gone = error  # likewise, of a reader that has enough
            finally:
                echo(tally.line(), err=True)
                left_out.sum_up()
                if (without := tally.no_hand()) is not None:
                    echo(without, err=True)
        recorded = [sending["lerobot"]] if sending["lerobot"] is not None and tally.frames else []
        for path in (*listeners.written, *recorded):
            echo(f"wrote {path}", err=True)
        if listeners.left_out:
            echo(f"the video lacks {listeners.left_out} frames: it is made slower than they come",
                 err=True)  # fmt: skip
        if listeners.unfilmed:
            echo(f"no video: {NO_VIDEO}", err=True)
        if gone is not None:
            raise gone


@click.command()
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0),
              help="Length of the self test; 0 for none.")  # fmt: skip
@click.option("--weights", type=click.Path(path_type=Path),
              help="Examine and test this network (.onnx), also an older one.")  # fmt: skip
@AS_JSON
def doctor(seconds: float, weights: Path | None, as_json: bool) -> None:
    """Report what is installed and plugged in, and test it: paste this into a bug report."""
    from cadstn.tracking.doctor import examine, report_lines

    with _own_stdout() as stdout:
        report = examine(seconds, weights)
        echo(json.dumps(report, indent=2) if as_json else "\n".join(report_lines(report)),
                   file=stdout)  # fmt: skip


class _LeftOut:
    """Tells which frames are left out: the first of each kind at once, how many in the end."""

    def __init__(self) -> None:
        # By kind: a camera may run for days.
        self._first: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def __call__(self, error: CadstnError) -> None:
        from cadstn.io.recording import kind_of

        kind = kind_of(error)
        self._count[kind] += 1
        if self._count[kind] == 1:
            self._first[kind] = str(error)
            echo(f"left out: {error}", err=True)

    def sum_up(self) -> None:
        """Say how many frames of each kind were left out, where it was more than one."""
        for kind, line in self._first.items():
            if self._count[kind] > 1:
                echo(f"left out: {self._count[kind]} frames, as {line}", err=True)


def _until_interrupted() -> None:
    """Wait for Ctrl-C, SIGTERM or a closed terminal."""
    threading.Event().wait()


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Standard output for our lines alone.

    The cameras' libraries print to it past Python, which would break lines that others read; what
    they print goes to standard error.
    """
    try:
        sys.stdout.flush()
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # a stream of Python's own, as in tests
        yield sys.stdout
        return
    stdout = os.fdopen(os.dup(number), "w", encoding="utf-8")
    os.dup2(2, number)
    try:
        yield stdout
    finally:
        # What they left in a buffer would follow our lines at the end of the process.
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, AttributeError, TypeError):  # no C library of this name
            ctypes.CDLL(None).fflush(None)
        os.dup2(stdout.fileno(), number)
        with suppress(OSError):  # of a full disk or a closed pipe, reported when it was written
            stdout.close()
