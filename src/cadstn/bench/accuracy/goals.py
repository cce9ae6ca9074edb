"""The figures that weights are judged by, beside the baseline and the target of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cadstn.bench.text import number, percent, table

Report = Mapping[str, Any]


class Goal(NamedTuple):
    """One figure that is required of weights."""

    name: str  # what, with its unit
    measured: float | None  # None where it could not be measured
    # baseline, target: what is required, and what is aimed for; None where nothing is
    baseline: float | None
    target: float | None = None
    more: bool = False  # whether more is better
    note: str = ""  # what else to know

    @property
    def result(self) -> str:
        """``target``, ``baseline`` or ``missed``; empty where nothing was measured or required."""
        if self.measured is None or self.baseline is None:
            return ""
        for name, limit in (("target", self.target), ("baseline", self.baseline)):
            if limit is not None and (
                self.measured >= limit if self.more else self.measured <= limit
            ):
                return name
        return "missed"


def goal_lines(goals: list[Goal]) -> list[str]:
    """Lay goals out as a Markdown table."""
    limits = [[number(limit, 4) for limit in (goal.baseline, goal.target)] for goal in goals]
    return table(
        "| | measured | baseline | target | result | |",
        (
            (goal.name, number(goal.measured), *both, goal.result, goal.note)
            for goal, both in zip(goals, limits, strict=True)
        ),
    )


def goals(report: Report) -> list[Goal]:
    """What is required of the weights in the package, beside what `bench_model` measured."""
    errors = report["rendered"] or {}
    steady, scales = errors.get("steadiness") or {}, errors.get("calibration") or {}
    alarms, real = report["false_alarms"] or {}, report["real"] or {}
    band = scales.get("band", {})
    return [
        Goal("mean joint error, mm", errors.get("mean_error_mm"), 10, 6),
        Goal(
            "frames whose worst joint is under 30 mm, %",
            percent(errors.get("worst_joint_within", {}).get("30")), 80, 95, more=True,
            note="lost frames are not",
        ),
        Goal(
            "acceleration error under the spatial network's, %",
            percent(steady.get("below_spatial")), 15, more=True,
            note="" if steady or not errors else "the file has no output of the spatial network",
        ),
        *(under_filter(steady, name) for name in ("one-euro", "exponential")),
        Goal(
            "handedness right, %", percent(errors.get("handedness_right")), 98, 99.5, more=True,
            note=_unknown(errors.get("handedness_unknown")),
        ),
        Goal("a hand announced where there is none, %", percent(alarms.get("share")), 1, 0.1),
        Goal(
            "centre under 15 mm, % of frames", percent(errors.get("center_within_15mm")), 95,
            more=True, note="lost frames are not",
        ),
        Goal("joints lose to a given centre, mm", errors.get("loss_to_center_mm"), 1),
        Goal(
            "joints of error scale 8 to 12 mm within 10 mm, %",
            percent(band.get("within_10mm")), None,
            note="two thirds are right"
            + (f"; {band['joints']} joints" if band else "; the file predicts no error scale")
            if errors
            else "",
        ),
        Goal(
            "real: joints outside the hand by over 10 mm, %", percent(real.get("outside")), 1.5, 0.7
        ),
        Goal(
            "real: spread of bone lengths, %", percent(real.get("spread")), 2.5, 1,
            note=f"largest {number(percent(real.get('largest_spread')))}" if real else "",
        ),
    ]  # fmt: skip


def under_filter(
    steady: Report, name: str, baseline: float | None = 0, target: float | None = None
) -> Goal:
    """How much less the tracker's acceleration error is than a filter's, at equal error.

    Args:
        steady: of `cadstn.bench.accuracy.measure.steadiness`, empty if there is none.
        name: ``one-euro`` or ``exponential``; the second has no baseline.
        baseline: see `Goal`.
        target: see `Goal`.
    """
    note, below = "", None
    if steady:
        filtered, fused = steady[name], steady["fused"]
        if filtered["acceleration_mm_frame2"]:
            ratio = fused["acceleration_mm_frame2"] / filtered["acceleration_mm_frame2"]
            below = percent(1 - ratio)
        note = filtered["setting"]
        if not filtered["at_equal_error"]:
            worse = filtered["error_mm"] - fused["error_mm"]
            note += f", whose error is {worse:.2f} mm larger: none has an equal one"
    title = f"acceleration error under {name} at equal error, %"
    if name != "one-euro":
        baseline = target = None
    return Goal(title, below, baseline, target, more=True, note=note)


def _unknown(share: float | None) -> str:
    return "" if not share else f"{number(percent(share))} % unknown"
