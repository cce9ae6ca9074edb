"""The ablation's tables and figure: five networks, fixed weights, and the bars for a fusion."""

from __future__ import annotations

from functools import partial

from cadstn.evaluate import plots
from cadstn.evaluate.analysis import (
    FIXED_WEIGHTS,
    best_fixed_weight,
    exponential_average,
    fixed_weight_errors_mm,
)
from cadstn.evaluate.compare import Comparison, Entry, difference, make_entry
from cadstn.evaluate.intervals import Interval
from cadstn.evaluate.joints import FloatArray
from cadstn.evaluate.metrics import ACCURACY_MM
from cadstn.evaluate.page import Block, Picture, Table
from cadstn.evaluate.published import NETWORKS, PAPER_FIXED_WEIGHT_MM, PAPER_NETWORKS_MM
from cadstn.evaluate.sections import WITHIN, number_text, short_note

_EMA_WEIGHTS = (0.9, 0.7)


def ablation_blocks(comparison: Comparison) -> list[Block]:
    """What can be said of the networks that are there: the authors' and, apart from them, ours."""
    blocks: list[Block] = []
    for suffix in (" (authors)", ""):
        if comparison.get(f"Spatial{suffix}") and comparison.get(f"Temporal{suffix}"):
            blocks.append(networks_table(comparison, suffix))
            blocks += fusion_bars(comparison, suffix)
    return blocks


def networks_table(comparison: Comparison, suffix: str = "") -> Table:
    """Table IV: the five networks, with how much each differs from the baseline."""
    rules = comparison.rules
    base = comparison.get(f"Baseline{suffix}")
    rows: list[tuple[str, ...]] = []
    strong = []
    for network in NETWORKS:
        entry = comparison.get(f"{network}{suffix}")
        if entry is None:
            continue
        gap = difference(entry, base, rules.cuts) if base and entry is not base else None
        if network == "CADSTN":
            strong.append(len(rows))
        rows.append((
            entry.name,
            f"{PAPER_NETWORKS_MM[network]:.2f}",
            f"{entry.scores.mean_error_mm:.3f}",
            str(entry.error),
            _gap(gap),
            *(f"{100 * entry.scores.accuracy[mm]:.1f}" for mm in ACCURACY_MM),
            f"{entry.scores.acceleration_error_mm_frame2:.3f}",
            str(entry.acceleration),
        ))  # fmt: skip
    header = (
        "network", "paper (NYU), mm", "mean error, mm", "95 %", "minus baseline, mm",
        *WITHIN, "accel. error, mm/frame²", "95 %",
    )  # fmt: skip
    return Table(
        f"The five networks on {rules.title} (table IV)", header, tuple(rows),
        short_note(comparison), tuple(strong),
    )  # fmt: skip


def fusion_bars(
    comparison: Comparison, suffix: str = "", chosen: float | None = None
) -> list[Block]:
    """Table V and the honest bars: fixed weights, exponential averages, and learned fusion.

    Args:
        comparison: holds Spatial and Temporal, and CADSTN if it is to be judged.
        suffix: of their names.
        chosen: the fixed weight that was best on validation, if it was chosen there.
    """
    rules = comparison.rules
    spatial, temporal = comparison.get(f"Spatial{suffix}"), comparison.get(f"Temporal{suffix}")
    assert spatial is not None
    assert temporal is not None
    truth = comparison.truth_xyz_mm[: len(spatial.pred_xyz_mm)]
    both = temporal.pred_xyz_mm, spatial.pred_xyz_mm
    swept = fixed_weight_errors_mm(*both, truth)
    oracle = best_fixed_weight(*both, truth)

    def mixed(w: float, name: str) -> Entry:
        return make_entry(name, w * both[0] + (1 - w) * both[1], truth, rules)

    bars = [spatial, temporal]
    bars += [mixed(0.5, "fixed weight 0.5")]
    if chosen is not None:
        bars.append(mixed(chosen, f"fixed weight {chosen:.2f}, best on validation"))
    bars.append(mixed(oracle, f"fixed weight {oracle:.2f}, best on this test (oracle)"))
    for weight in _EMA_WEIGHTS:
        smooth = exponential_average(both[1], weight, rules.cuts)
        bars.append(make_entry(f"Spatial, exponential average {weight:g}", smooth, truth, rules))
    learned = comparison.get(f"CADSTN{suffix}")
    if learned:
        bars.append(learned)
    rows = tuple(
        (
            bar.name, f"{bar.scores.mean_error_mm:.3f}", str(bar.error),
            _gap(difference(bar, learned, rules.cuts) if learned and bar is not learned else None),
            number_text(bar.scores.acceleration_error_mm_frame2, 3), str(bar.acceleration),
        )
        for bar in bars
    )  # fmt: skip
    note = (
        "w multiplies the temporal prediction, 1 - w the spatial one; the exponential average is "
        "causal, its number the weight of the new frame, and starts afresh at each shot. "
    )
    levels = {e.name: e.scores.mean_error_mm for e in (spatial, temporal, learned) if e}
    title = f"{rules.title}: a fixed weight against learned fusion"
    name = f"{rules.name}-fixed-weights{'-authors' if suffix else ''}.png"
    return [
        _sweep_table(comparison, swept, learned),
        Picture(
            name,
            partial(plots.fixed_weights, FIXED_WEIGHTS, swept.tolist(), levels, title),
            f"Mean error over the fixed weight of the temporal prediction, {rules.title} "
            "(table V).",
        ),
        Table(
            f"Bars that a learned fusion must clear, {rules.title}",
            ("", "mean error, mm", "95 %", "minus learned fusion, mm", "accel. error, mm/frame²",
             "95 %"),
            rows, note + short_note(comparison), (len(rows) - 1,) if learned else (),
        ),
    ]  # fmt: skip


def _sweep_table(comparison: Comparison, swept: FloatArray, learned: Entry | None) -> Table:
    header = ("w", *(f"{w:g}" for w in FIXED_WEIGHTS), "learned fusion")
    paper = [f"{PAPER_FIXED_WEIGHT_MM[w]:.2f}" for w in FIXED_WEIGHTS]
    ours = f"{learned.scores.mean_error_mm:.2f}" if learned else ""
    return Table(
        f"Fixed weights against fusion, mean error in mm, {comparison.rules.title} (table V)",
        header,
        (
            ("these files", *(f"{mm:.2f}" for mm in swept), ours),
            ("paper (NYU) [quoted]", *paper, f"{PAPER_NETWORKS_MM['CADSTN']:.2f}"),
        ),
        "w multiplies the temporal prediction. " + short_note(comparison),
    )


def _gap(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.mean:+.2f} ({interval.low:+.2f} to {interval.high:+.2f})"
