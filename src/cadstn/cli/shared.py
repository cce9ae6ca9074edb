"""What several commands need."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from click.core import ParameterSource

from cadstn.errors import CadstnError, escaped
from cadstn.geometry.camera import KNOWN_CAMERAS, Camera, parse_camera

if TYPE_CHECKING:
    from cadstn.tracking import Network
    from cadstn.train import Start

#: How many frames, clips or recordings: no more than memory has room for their numbers.
MANY = click.IntRange(1, 10_000_000)
#: Options that several commands have.
CAMERA = click.option(
    "--camera",
    help=f"A known camera ({', '.join(KNOWN_CAMERAS)}), a camera.json, or "
    "fx,fy,cx,cy[,depth_unit_mm]. Your camera's own numbers are better than a known camera's.",
)
SCALE = click.option(
    "--scale", type=click.FloatRange(0, min_open=True),
    help="The frames are so many times as large as the images that the camera's numbers are of.",
)  # fmt: skip
WEIGHTS = click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="A network of your own (.onnx), or NAME@VERSION of the package's list.",
)
THREADS = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Threads of the network; else all processors, 4 at most.",
)
DEVICE = click.option("--device", default="cpu", show_default=True, help="cpu, cuda, gpu or auto.")
SETTINGS = click.option(
    "--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Override a field."
)
FIT = click.option(
    "--fit/--no-fit", default=True, show_default=True,
    help="Move joints to where the hand's surface was measured.",
)  # fmt: skip
PATTERN = click.option(
    "--pattern",
    help="Which files of a folder are depth, such as '*/depth/*.png', or which topic of a bag.",
)
UNIT = click.option(
    "--unit",
    help="Unit of the depth values, in place of the camera's: mm, cm, m, um, or mm a step.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def echo(text: str, *, err: bool = False, file: IO[str] | None = None) -> None:
    """Print lines; control characters in them, as in the names of files, are escaped."""
    click.echo("\n".join(escaped(line) for line in text.split("\n")), err=err, file=file)


def quoted(path: str | Path) -> str:
    """A path as a command that is printed to be copied needs it."""
    import shlex

    return shlex.quote(str(path))


def given_options(*names: str) -> list[str]:
    """Those of the running command's options that the user gave, as they are written.

    None where another command calls it: what it passes has no source.

    Args:
        names: of the command's parameters.
    """
    context = click.get_current_context()
    options = {option.name: option.opts[-1] for option in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names}
    return [str(options[name]) for name, source in sources.items()
            if source not in (None, ParameterSource.DEFAULT)]  # fmt: skip


@contextmanager
def frames_bar(name: str, length: int) -> Iterator[Callable[[], None]]:
    """A progress bar; what it gives is called once a frame."""
    with click.progressbar(length=length, label=name, file=sys.stderr) as bar:
        yield lambda: bar.update(1)


def fit_decision_to(network: Network, path: Path) -> None:
    """Fit what a network takes for a hand, with a progress bar, and write it."""
    from cadstn.bench.decision import OTHERS, WITH, WITHOUT, fit_decision
    from cadstn.io.whole import whole_file
    from cadstn.tracking.decision import write_decision

    scenes = (WITH, WITHOUT, OTHERS)
    label = "scenes to decide on hands by"
    # A path that cannot be written fails before the work, not after it.
    with (
        whole_file(path) as part,
        click.progressbar(length=sum(scenes), label=label, file=sys.stderr) as bar,
    ):
        write_decision(fit_decision(network, scenes, bar.update), part)
    echo(f"wrote {path}")


def scaled_camera(path: str | Path, camera: str | None, scale: float | None) -> Camera | str | None:
    """Return the camera of ``--camera`` and ``--scale``, or of a recording's own file.

    Args:
        path: the recording.
        camera: see `parse_camera`; None for the recording's own.
        scale: None to leave it as it is.

    Raises:
        CadstnError: if there is no camera to scale.
    """
    if scale is None:
        return camera
    own = Path(path) / "camera.json"
    if camera is None and not own.is_file():
        raise CadstnError("--scale needs a camera", hint="give --camera as well")
    return parse_camera(str(own) if camera is None else camera).scaled(scale)


def need_train(command: str) -> None:
    """Raise CadstnError with how to get torch, where it is missing; set how its threads wait."""
    # Threads that wait for one another spin. Beside other work they spin for long: a training took
    # up to twice as long. The price on an idle machine is some 3 % of the speed of the paper's
    # networks, up to a quarter of that of the compact ones, whose steps are short (LOG.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        import torch  # noqa: F401
    except ImportError:
        raise CadstnError(
            f"'{command}' needs PyTorch",
            hint="pip install 'cadstn[train]'; without a GPU, first the CPU build: "
            "pip install torch --index-url https://download.pytorch.org/whl/cpu",
        ) from None


def weights_at(name: str) -> AbstractContextManager[Path]:
    """Where weights lie that are given as a path, or as ``shipped``: those of the package."""
    from cadstn.tracking.runtime import shipped_weights

    return shipped_weights() if name == "shipped" else nullcontext(Path(name))


def begun(start: str) -> Start:
    """Read weights to go on from, those of the package among them."""
    from cadstn.train import read_start

    with weights_at(start) as path:
        return read_start(path)


def device_of(name: str) -> str:
    """Return the device for a name that a user gives; torch is loaded for others than ``cpu``."""
    if name == "cpu":
        return name
    need_train(f"--device {name}")
    from cadstn.train.devices import pick_device

    return pick_device(name)
