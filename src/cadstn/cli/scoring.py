"""Commands that score: score, compare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cadstn._version import __version__
from cadstn.cli.shared import AS_JSON, DEVICE, SETTINGS, device_of, echo, given_options, need_train
from cadstn.errors import CadstnError, library, printable

if TYPE_CHECKING:
    from cadstn.evaluate import Format
    from cadstn.evaluate.report import Center

_FORMAT = click.Choice(["uvd", "xyz"])
_SETS = "nyu, icvl, msra, hands2017, dexycb or recordings"
_CAMERA = click.option(
    "--camera", metavar="CAMERA",
    help="Instead of the set's: a known name, a camera.json, or fx,fy,cx,cy. ICVL is also met with "
    "240.99,240.96,160,120.",
)  # fmt: skip


def _must_matter(files: Sequence[tuple[Path, str]], camera: str | None) -> None:
    """Refuse --camera where no file, each with its format, holds pixels."""
    if camera and all(path.suffix.lower() == ".npz" or form == "xyz" for path, form in files):
        raise CadstnError(
            "--camera changes nothing: all files hold x y z in mm", hint="leave it out"
        )


@click.command()
@click.argument("pred", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--set", "set_name", help=f"Whose joints they are, for text files: {_SETS}.")
@_CAMERA
@click.option(
    "--format", "fmt", type=_FORMAT, default="uvd", show_default=True,
    help="Columns of a text prediction: pixels and depth, or millimetres.",
)  # fmt: skip
@click.option(
    "--truth-format", "truth_fmt", type=_FORMAT, default="uvd", show_default=True,
    help="Columns of a text truth.",
)  # fmt: skip
@AS_JSON
def score(
    pred: Path,
    truth: Path,
    set_name: str | None,
    camera: str | None,
    fmt: Format,
    truth_fmt: Format,
    as_json: bool,
) -> None:
    r"""Score predictions: mean error, accuracy, acceleration error, jitter (eqs. 7 to 9).

    PRED and TRUTH are text files, one frame a line, K x (u v d), or .npz files as
    'cadstn track' and 'cadstn predict' write them. What was tracked of a part of a recording is
    scored on that part; a shorter text file on the first frames.

    \b
    cadstn score CVWW15_NYU_Prior-Refinement.txt groundtruth.txt --set nyu
    cadstn score result/joints.npz my_recording/truth.npz
    """
    from cadstn.evaluate import score_files

    if camera and not set_name:
        raise CadstnError("--camera without --set changes nothing", hint="add --set, or leave it")
    for name, path in (("fmt", pred), ("truth_fmt", truth)):
        for option in given_options(name) if path.suffix.lower() == ".npz" else ():
            raise CadstnError(
                f"{option} changes nothing: an .npz file holds x y z in mm",
                where=path, hint="leave it out",
            )  # fmt: skip
    _must_matter([(pred, fmt), (truth, truth_fmt)], camera)
    scores, text = score_files(pred, truth, set_name, fmt, truth_fmt=truth_fmt, camera=camera)
    echo(json.dumps(scores.to_dict(), indent=2) if as_json else text)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--set", "set_name", required=True, help=f"Whose test set it is: {_SETS}.")
@_CAMERA
@click.option(
    "--truth", metavar="FILE",
    help="File of truth, PATH[:xyz], text in u v d without the ending; else a FILE called truth or "
    "groundtruth, else groundtruth.txt beside the first FILE.",
)  # fmt: skip
@click.option(
    "--format", "fmt", type=_FORMAT, default="uvd", show_default=True,
    help="Columns of text predictions without an ending FILE:xyz or FILE:uvd.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the page and figures.")
def compare(
    files: tuple[str, ...],
    set_name: str,
    camera: str | None,
    truth: str | None,
    fmt: Format,
    out: Path | None,
) -> None:
    r"""Compare prediction files, ours or others': tables, and with --out figures and a page.

    A FILE is [NAME=]PATH[:xyz]. The published files' names are known. Beside --truth, a FILE called
    truth or groundtruth is left out unless it has a NAME. Files of 'cadstn track' may hold a part
    of a recording, all the same one. Written to --out: compare-SET.html, one page with all figures
    inside, compare-SET.md, and the figures as PNG.

    \b
    cadstn compare --set nyu published/nyu/*.txt --out comparison
    cadstn compare --set icvl ours=run/icvl.txt theirs=their_file.txt:xyz --truth groundtruth.txt
    """
    from cadstn.evaluate.ablation import ablation_blocks
    from cadstn.evaluate.compare import compare_files, left_out, parse_source, truth_apart
    from cadstn.evaluate.page import Heading, Text, to_text, write_page
    from cadstn.evaluate.protocol import protocol
    from cadstn.evaluate.sections import comparison_blocks

    rules = protocol(set_name, camera)
    sources = [parse_source(text, fmt) for text in files]
    preds, true = truth_apart(sources, None if truth is None else parse_source(truth))
    other: Format = "uvd" if fmt == "xyz" else "xyz"
    if given_options("fmt") and all(
        source.path.suffix.lower() == ".npz" or source == parse_source(text, other)
        for source, text in zip(sources, files, strict=True)
    ):
        raise CadstnError(
            "--format changes nothing: every FILE is .npz or has its own", hint="leave it out"
        )
    _must_matter([(source.path, source.fmt) for source in (*preds, true)], camera)
    comparison = compare_files(preds, rules, true)
    title = f"Hand pose on {set_name.upper()}: {len(comparison.entries)} methods compared"
    made = f"Made by cadstn {__version__}: cadstn compare --set {set_name}"
    made += f" --camera {camera}, from " if camera else ", from "
    absent = left_out(sources, preds, true)
    without = "Left out, as called like a truth; NAME=FILE compares one: "
    without += printable(", ".join(s.path.name for s in absent))
    blocks = [
        Heading(title, 1),
        Text(made + printable(", ".join(s.path.name for s in sources if s not in absent)) + "."),
        *([Text(f"{without}.")] if absent else []),
        *comparison_blocks(comparison, quoted=comparison.published),
        *ablation_blocks(comparison),
    ]
    echo(to_text(blocks).removesuffix("\n"))
    if out is not None:
        written = write_page(out, f"compare-{set_name}", blocks, title)
        echo("wrote " + "\n      ".join(map(str, written)))


@click.command()
@click.argument("run", type=click.Path(path_type=Path), required=False)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of the set.")
@click.option(
    "--split", default="test", show_default=True, help="MSRA15: test-P0 ...; recordings: all."
)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True,
    help="FILE.txt, K x (u v d) a line; or FILE.npz, with fusion weights and both predictions.",
)  # fmt: skip
@click.option(
    "--center", "--centre", "center", type=click.Choice(["truth", "found"]), required=True,
    help="Put crops where the truth is, as most papers do, or where the hand is found.",
)  # fmt: skip
@click.option("--network", help="cadstn, spatial, temporal, baseline or sliced, of a RUN.")
@click.option(
    "--window", type=click.IntRange(0), help="Frames until the temporal network forgets; 0: never "
    "within a shot. The T that it was trained with if not given.",
)  # fmt: skip
@click.option(
    "--truth", type=click.Path(path_type=Path),
    help="Write the truth, too; as FILE.npz with its shots.",
)  # fmt: skip
@DEVICE
def predict(
    run: Path | None,
    data: Path,
    split: str,
    out: Path,
    center: Center,
    network: str | None,
    window: int | None,
    truth: Path | None,
    device: str,
) -> None:
    r"""Predict a data set's frames and write them as text, u v d a joint, or .npz.

    RUN is a folder of 'cadstn train' or an exported .onnx file; the network that ships if not
    given. The joints are the scored ones of the set; a network of other joints (hand21) is
    converted by documented rules.

    \b
    cadstn predict runs/nyu --data data/nyu --center truth --out ours.txt --truth truth.npz
    cadstn score ours.txt truth.npz --set nyu
    cadstn predict --data data/icvl --center found --window 0 --out shipped.npz
    """
    import sys

    from cadstn.data import open_dataset
    from cadstn.evaluate import score as score_joints
    from cadstn.io.whole import keep_inputs
    from cadstn.reproduce import load_predictor, write_predictions, write_truth
    from cadstn.reproduce import predict as predict_frames
    from cadstn.reproduce.files import check_replaceable, check_writable, note_of_shots

    if (run is None or run.is_file()) and given_options("device"):
        raise CadstnError(
            "--device is for the folder of a run: an exported network runs in ONNX Runtime",
            hint="leave it out",
        )
    if truth is not None and truth.resolve() == out.resolve():
        raise CadstnError("--out and --truth are one file", where=out, hint="give two names")
    dataset = open_dataset(data, split)
    # What cannot be written, or must not, is found before the prediction, which takes minutes.
    for path in (out, truth):
        if path is not None:
            check_writable(path, dataset)
            keep_inputs(path, [run])
            check_replaceable(path, dataset)
    predictor = load_predictor(run, network, device_of(device))
    if given_options("window") and not getattr(predictor, "remembers", True):
        raise CadstnError(
            f"--window changes nothing: the {predictor.network} network has no memory",
            where=run, hint="leave it out",
        )  # fmt: skip
    if center == "truth" and not getattr(predictor, "names_crops", True):
        echo(
            "note: the file names no crops of its own: cubes stand around the joints' mean, as a "
            "tracker's do",
            err=True,
        )
    chosen = predictor.clip if window is None else window
    with click.progressbar(length=len(dataset), label="predicting", file=sys.stderr) as bar:
        done = predict_frames(
            {"it": (predictor, chosen)},
            dataset,
            center,
            on_frames=bar.update,
        )["it"]
    write_predictions(out, done, dataset)
    true_xyz_mm = dataset.joints_xyz_mm[:, list(dataset.scored)]
    if truth is not None:
        write_truth(truth, dataset)
        if note := note_of_shots(truth, out, dataset):
            echo(note, err=True)
    scores = score_joints(done.joints_xyz_mm, true_xyz_mm, done.cuts)
    echo(
        f"{predictor.network} on {dataset.name} {split}: {scores.frames} frames, {scores.lost} "
        f"without a hand, mean error {scores.mean_error_mm:.2f} mm, acceleration error "
        f"{scores.acceleration_error_mm_frame2:.2f} mm/frame^2 (centre {center}, "
        f"{len(dataset.scored)} joints, {len(done.cuts) + 1} shots, window {chosen})"
    )
    echo(f"wrote {out}" + (f" and {truth}" if truth else ""))


@click.command()
@click.option(
    "--data", "paths", type=click.Path(path_type=Path), multiple=True, required=True,
    help="Folder of a data set; give it once a set.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the report.")
@click.option(
    "--recipe", "kind", type=click.Choice(["paper", "released", "small", "tiny"]),
    default="paper", show_default=True, help="What to train by.",
)  # fmt: skip
@SETTINGS
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True,
    help="Train each network this often; the report gives the spread.",
)  # fmt: skip
@click.option(
    "--free-gate", is_flag=True,
    help="Train the free gate of the published figures as well, beside equation 6's.",
)  # fmt: skip
@DEVICE
@click.option(
    "--published", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with nyu/ and icvl/ of other methods' files (u v d), and icvl-authors/ (x y z).",
)  # fmt: skip
def reproduce(
    paths: tuple[Path, ...],
    out: Path,
    kind: str,
    settings: tuple[str, ...],
    seeds: int,
    free_gate: bool,
    device: str,
    published: Path | None,
) -> None:
    r"""Make the paper's evaluation: train what is missing, predict, score, report.

    Writes report.html, one page with all figures inside, report.md with the figures beside it,
    every prediction as text in predictions/ and the weights in runs/. The same command goes on
    where it stopped. Needs the extras 'train' and 'plots'.

    \b
    cadstn reproduce --data data/nyu --data data/icvl --out report --device cuda
    cadstn reproduce --data rendered/nyu --out report --recipe tiny --set spatial.steps=200
    """
    import sys

    from cadstn.cli.clock import PhaseClock
    from cadstn.cli.sources import setting

    need_train("cadstn reproduce")
    with library("figures need matplotlib", "plots"):  # better now than after the training
        import matplotlib  # noqa: F401
    from cadstn.reproduce.run import reproduce as run

    shown = ""
    clock = PhaseClock()

    def watch(what: str, done: int, total: int) -> None:
        nonlocal shown
        last = done >= total
        line = f"{what} {done}/{total}{clock.left(what, done, total)}"
        if sys.stderr.isatty():
            click.echo(f"\r{line.ljust(len(shown))}", nl=last, err=True)
            shown = "" if last else line
        elif last or clock.minute_is_over():
            echo(line, err=True)

    written = run(
        paths,
        out,
        kind=kind,
        settings=dict(setting(text) for text in settings),
        device=device_of(device),
        published=published,
        seeds=seeds,
        free_gate=free_gate,
        watch=watch,
    )
    echo("wrote " + "\n      ".join(map(str, written)))
