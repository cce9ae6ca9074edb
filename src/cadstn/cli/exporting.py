"""The command that makes one file of a finished run: export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cadstn._version import __version__
from cadstn.cli.shared import begun, echo, given_options, need_train, weights_at
from cadstn.errors import CadstnError, library

if TYPE_CHECKING:
    from torch import Tensor

    from cadstn.train import Start


#: Options of an export with --out.
_OF_A_RUN = ("half", "int8", "blend", "detector", "error_scale", "decision", "spread")


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="File to write.")
@click.option("--half", is_flag=True, help="Store weights in 16 bits: half the size.")
@click.option(
    "--int8", is_flag=True, help="Dense layers in 8 bits: smaller and faster at the paper's sizes."
)
@click.option(
    "--blend", metavar="WEIGHTS=SHARE",
    help="Mix in a share of other compact weights: an exported .onnx that is not int8, or shipped.",
)  # fmt: skip
@click.option(
    "--detector", metavar="RUN|WEIGHTS",
    help="The detector that the file carries: a run of 'cadstn train detector', or that of an "
    "exported .onnx or of shipped. Without one a "
    "tracker takes the package's.",
)  # fmt: skip
@click.option(
    "--error-scale", default=1.0, show_default=True,
    help="Factor of the predicted error scales: chosen on held-out frames, it calibrates.",
)  # fmt: skip
@click.option(
    "--decision", type=click.Path(path_type=Path),
    help="The decision on a new hand, as 'cadstn bench alarms --fit-decision' writes it.",
)  # fmt: skip
@click.option("--spread", type=float, hidden=True, deprecated="It is now --error-scale.")
@click.option(
    "--whole", type=click.Path(path_type=Path),
    help="Write one graph from a depth frame to hands, and a .json beside it that describes it. "
    "RUN is then an exported .onnx, or left out for the package's weights.",
)  # fmt: skip
@click.option("--hands", default=1, show_default=True, type=click.IntRange(1, 2),
              help="With --whole: hands at most.")  # fmt: skip
@click.option("--uint16", is_flag=True, help="With --whole: depth is the sensor's 16-bit steps.")
def export(
    run: Path | None,
    out: Path | None,
    half: bool,
    int8: bool,
    blend: str | None,
    detector: str | None,
    error_scale: float,
    decision: Path | None,
    spread: float | None,
    whole: Path | None,
    hands: int,
    uint16: bool,
) -> None:
    r"""Write a finished run as one ONNX file that 'cadstn track --weights' takes.

    With --whole: write all of the tracker as one ONNX graph for programs in other languages.

    \b
    cadstn export runs/compact --out hand.onnx --half
    cadstn export runs/more --out hand.onnx --half --blend shipped=0.2
    cadstn export runs/follow --out hand.onnx --half --detector runs/detector
    cadstn export --whole hand-whole.onnx --hands 2
    """
    if whole is not None:
        if out is not None:
            raise CadstnError("--whole and --out exclude each other", hint="choose one")
        if useless := given_options(*_OF_A_RUN):
            raise CadstnError(
                f"{useless[0]} means nothing to --whole, which takes the file as it is",
                hint=f"export the run with {useless[0]} first, then that file with --whole",
            )
        _export_whole(whole, run, hands, uint16)
        return
    from cadstn.io.whole import keep_inputs

    if run is None or out is None:
        raise CadstnError(
            "no run or no file to write", where="cadstn export",
            hint="give RUN --out FILE, or --whole FILE",
        )  # fmt: skip
    if useless := given_options("hands", "uint16"):
        raise CadstnError(f"{useless[0]} is for --whole", hint="leave it out")
    blended = Path(blend.rpartition("=")[0]) if blend else None
    keep_inputs(out, [decision, blended, Path(detector) if detector else None])
    need_train("cadstn export")
    from cadstn.export import export_onnx
    from cadstn.io.onnx_check import NAMES_IN_FILE
    from cadstn.tracking.decision import read_decision
    from cadstn.train import load_model
    from cadstn.train.recipes import STAGES

    model, recipe = load_model(run)
    wants = recipe.wanted()
    if decision is not None:
        if not wants.answers:
            raise CadstnError(
                "--decision is for compact networks of rendered hands, which predict presence",
                where=run, hint="leave it out",
            )  # fmt: skip
        wants = replace(wants, decision=read_decision(decision))
    about = {
        "skeleton": recipe.skeleton,
        "cube_mm": str(recipe.cube_mm),
        "recipe": recipe.to_json(),
        "cadstn": __version__,
        "wants": wants.to_json(),
    }
    mixed = None
    if blend is not None:
        weights, share = _blend(blend)
        mixed = {stage: weights.tensors[stage] for stage in STAGES}, share
        about["blend"] = f"{weights.name} {share:g}"
    if spread is not None:  # before 0.2
        error_scale = spread
    if error_scale != 1:
        about[NAMES_IN_FILE["error_scale"]] = f"{error_scale:g}"
    carried = None if detector is None else _carried(detector)
    export_onnx(
        model, out, about, half=half, int8=int8, blend=mixed, error_scale=error_scale,
        detector=carried,
    )  # fmt: skip
    echo(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


def _carried(detector: str) -> Mapping[str, Tensor] | bytes:
    """The detector of a run, or of weights that carry one."""
    from cadstn.tracking.runtime import carried_detector
    from cadstn.train.detector import read_detector

    if detector != "shipped" and Path(detector).suffix != ".onnx":
        return read_detector(Path(detector))
    with weights_at(detector) as path:
        return carried_detector(path)


def _export_whole(path: Path, weights: Path | None, hands: int, uint16: bool) -> None:
    """Write the whole graph, see `cadstn.graph.file.write_whole`."""
    with library("'cadstn export --whole' needs onnx", "export"):
        import onnx  # noqa: F401
    from cadstn.graph.file import write_whole

    write_whole(path, weights, hands=hands, uint16=uint16)
    size = path.stat().st_size / 1e6
    echo(f"wrote {path} ({size:.1f} MB) and {path.with_suffix('.json').name}")


def _blend(text: str) -> tuple[Start, float]:
    """Read the weights and the share that ``--blend`` names."""
    weights, _, share = text.rpartition("=")
    hint = "give --blend WEIGHTS=SHARE, for instance shipped=0.2"
    try:
        value = float(share)
    except ValueError:
        value = 0.0
    if not weights or not 0 < value < 1:
        raise CadstnError(f"'{text}' is not weights and a share", where="--blend", hint=hint)
    start = begun(weights)
    if not start.folded:
        raise CadstnError(
            "--blend takes an export, not a run", where=weights, hint="export the run first"
        )
    return start, value
