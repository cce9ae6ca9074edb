"""The report on weights as people read it: what is asked for beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Report = Mapping[str, Any]


class Goal(NamedTuple):
    """One thing that weights must reach.

    Attributes:
        name: what, with its unit.
        measured: None where it could not be measured.
        least, aim: what is asked for, and what is hoped for; None where nothing is.
        more: whether more is better.
        note: what else to know.
    """

    name: str
    measured: float | None
    least: float | None
    aim: float | None = None
    more: bool = False
    note: str = ""

    @property
    def reached(self) -> str:
        """``aim``, ``least``, ``no``; empty where nothing was measured or asked for."""
        if self.measured is None or self.least is None:
            return ""
        for name, limit in (("aim", self.aim), ("least", self.least)):
            if limit is not None and (
                self.measured >= limit if self.more else self.measured <= limit
            ):
                return name
        return "no"


def goals(report: Report) -> list[Goal]:
    """What the weights in the package must reach, beside what `bench_model` measured."""
    seen = report["rendered"] or {}
    steady, sure = seen.get("steadiness") or {}, seen.get("calibration") or {}
    alarms, real = report["false_alarms"] or {}, report["real"] or {}
    asked = sure.get("asked", {})
    found = [
        Goal("mean joint error, mm", seen.get("mean_error_mm"), 10, 6),
        Goal(
            "frames whose worst joint is under 30 mm, %",
            _percent(seen.get("worst_joint_within", {}).get("30")), 80, 95, more=True,
            note="lost frames are not",
        ),
        Goal(
            "acceleration error under the spatial network's, %",
            _percent(steady.get("below_spatial")), 15, more=True,
            note="" if steady else "the file does not say what the spatial network says",
        ),
        *(_against(steady, name) for name in ("one-euro", "exponential")),
        Goal(
            "handedness right, %", _percent(seen.get("handedness_right")), 98, 99.5, more=True,
            note=_unknown(seen.get("handedness_unknown")),
        ),
        Goal("a hand announced where there is none, %", _percent(alarms.get("share")), 1, 0.1),
        Goal(
            "centre under 15 mm, % of frames", _percent(seen.get("centre_within_15mm")), 95,
            more=True, note="lost frames are not",
        ),
        Goal("joints lose to a centre that is given, mm", seen.get("loss_to_centre_mm"), 1),
        Goal(
            "of joints said to lie within 8 to 12 mm, within 10, %",
            _percent(asked.get("within_10mm")), None,
            note="two thirds are asked for"
            + (f"; {asked['joints']} joints" if asked else "; the file does not say"),
        ),
        Goal("real: joints outside the hand by over 10 mm, %", _percent(real.get("outside")), 5, 1),
        Goal(
            "real: spread of bone lengths, %", _percent(real.get("spread")), 6, 3,
            note=f"largest {_text(_percent(real.get('largest_spread')))}" if real else "",
        ),
    ]  # fmt: skip
    return found


def report_lines(report: Report) -> list[str]:
    """Lay a report out as Markdown."""
    lines = [
        f"Weights: {report['weights']}; cadstn {report['cadstn']}; {report['machine']}", "",
        "| | measured | at least | aim | reached | |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for goal in goals(report):
        asked = (_text(limit, 4) for limit in (goal.least, goal.aim))
        cells = (goal.name, _text(goal.measured), *asked, goal.reached, goal.note)
        lines.append("| " + " | ".join(cells) + " |")
    if report["rendered"]:
        lines += ["", *_rendered_lines(report["rendered"], report["seed"])]
    if report["beside"]:
        lines += ["", *_beside_lines(report["weights"], report["beside"])]
    if report["false_alarms"]:
        lines += ["", *_alarm_lines(report["false_alarms"])]
    if report["real"]:
        lines += ["", *_real_lines(report["real"])]
    return lines


def _rendered_lines(seen: Report, seed: int) -> list[str]:
    within = ", ".join(
        f"{mm} mm {_text(_percent(share))} %" for mm, share in seen["worst_joint_within"].items()
    )
    low, high = seen["mean_error_95_mm"]
    near_low, near_high = (_percent(x) for x in seen["worst_joint_within_30mm_95"])
    lines = [
        f"Rendered: {seen['frames']} frames of {seen['recordings']} recordings, seed {seed}. "
        f"Left out: {seen['partly_out_of_picture']} with a joint out of the picture, "
        f"{seen['on_the_other_hand']} in which the second hand is followed, which has no labels. "
        f"Of the other {seen['asked']}, {seen['lost']} "
        f"({_text(_percent(seen['lost_share']))} %) are lost.",
        "",
        f"- mean error {_text(seen['mean_error_mm'], 3)} mm (95 %: {_text(low)} to {_text(high)}), "
        f"median with lost frames infinitely far {_text(seen['median_error_mm'])}; "
        "with the frames on the second hand "
        f"{_text(seen['mean_error_with_other_hand_mm'])}",
        f"- worst joint within: {within} (30 mm, 95 %: {_text(near_low)} to {_text(near_high)} %)",
        f"- middle of the hand: {_text(_percent(seen['centre_within_15mm']))} % under 15 mm, 95th "
        f"percentile {_text(seen['centre_p95_mm'])} mm; {_text(_percent(seen['wrong_place']))} % "
        f"over 100 mm off. Of the cube: {_text(_percent(seen['cube_within_15mm']))} %, "
        f"{_text(seen['cube_p95_mm'])} mm",
        f"- centre given: {_text(seen['centre_given_error_mm'], 3)} mm in the same frames, "
        f"{_text(seen['centre_given_all_frames_mm'], 3)} in all of the whole hand",
        f"- acceleration error {_text(seen['acceleration_error_mm_frame2'])} mm/frame^2; "
        f"the hands' own {_text(seen['truth_acceleration_mm_frame2'])}",
        "",
        "| camera | frames | lost | mean error mm |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, one in seen["by_camera"].items():
        error = _text(one["mean_error_mm"])
        lines.append(f"| {name} | {one['asked']} | {one['lost']} | {error} |")
    if seen["steadiness"]:
        lines += ["", *_steady_lines(seen["steadiness"])]
    if seen["calibration"]:
        lines += ["", *_sure_lines(seen["calibration"])]
    return lines


def _beside_lines(name: str, beside: Report) -> list[str]:
    other = beside["weights"]
    lines = [
        f"Beside {other}, frame by frame: both are asked for {beside['asked']} frames, both found "
        f"the hand in {beside['found']}.",
        "",
        f"| | {name} | {other} | difference | 95 % of it |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for key, title, times in (
        ("mean_error_mm", "mean error mm, both found", 1),
        ("within_30mm", "worst joint under 30 mm, both asked, %", 100),
        ("whole_within_30mm", "the same, a frame on the second hand is not, %", 100),
        ("acceleration_error_mm_frame2", "acceleration error mm/frame^2, both found", 1),
    ):
        one = beside[key]
        values = (one["this"], one["other"], one["difference"], *one["difference_95"])
        this, that, gap, low, high = (None if x is None else x * times for x in values)
        lines.append(
            f"| {title} | {_text(this)} | {_text(that)} | {_text(gap)} | "
            f"{_text(low)} to {_text(high)} |"
        )
    return lines


def _steady_lines(steady: Report) -> list[str]:
    lines = ["| joints | mean error mm | acceleration error mm/frame^2 |", "|---|---|---|"]
    for name in ("fused", "spatial", "one-euro", "exponential"):
        one = steady[name]
        told = name
        if "setting" in one:
            equal = "" if one["at_equal_error"] else ", none has as small an error"
            told = f"spatial, {name} ({one['setting']}{equal})"
        error, acceleration = _text(one["error_mm"]), _text(one["acceleration_mm_frame2"])
        lines.append(f"| {told} | {error} | {acceleration} |")
    return lines


def _sure_lines(sure: Report) -> list[str]:
    lines = [
        f"Of all joints {_text(_percent(sure['within_said']))} % lie within what is said of them.",
        "",
        "| said, mm | joints | within it, % | within 10 mm, % | median error mm |",
        "|---|---|---|---|---|",
    ]
    for one in sure["bins"]:
        low, high = f"{one['from_mm']:g}", one["to_mm"]
        lines.append(
            f"| {f'over {low}' if high is None else f'{low} to {high:g}'} | {one['joints']} | "
            f"{_text(_percent(one['within_said']))} | {_text(_percent(one['within_10mm']))} | "
            f"{_text(one['median_error_mm'])} |"
        )
    return lines


def _alarm_lines(alarms: Report) -> list[str]:
    scenes = alarms["by_scene"]
    return [
        f"Without a hand: {alarms['found']} of {alarms['frames']} frames announce one: "
        f"{scenes['arm']['found']} of {scenes['arm']['frames']} where an arm reaches out of the "
        f"picture, {scenes['gone']['found']} of {scenes['gone']['frames']} where it is gone; "
        f"{alarms['left_out']} with nothing in reach are left out."
    ]


def _real_lines(real: Report) -> list[str]:
    lines = [
        f"Real: {real['frames']} frames, {real['lost']} lost. Outside the hand "
        f"{_text(_percent(real['outside']))} % of joints, among them "
        f"{_text(_percent(real['hidden']))} % of joints that the hand may hide.",
        "",
        "| recording | frames | lost | outside % (hidden) | tips from surface mm, median (95 %) | "
        "knuckles | bone spread % | jitter mm/frame^2 (at rest) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in real["recordings"].items():
        cells = (
            name, str(one["frames"]), str(one["lost"]),
            f"{_text(_percent(one['outside']))} ({_text(_percent(one['hidden']))})",
            *(f"{_text(one[k][0])} ({_text(one[k][1])})" for k in ("tips_mm", "knuckles_mm")),
            _text(_percent(one["spread"])),
            f"{_text(one['jitter_mm_frame2'])} ({_text(one['jitter_at_rest_mm_frame2'])})",
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    for name, one in real["recordings"].items():
        if one["labels"]:
            labels = one["labels"]
            lines += ["", (
                f"{name}, against its labels: {_text(labels['shared_mm'])} mm over those that are "
                f"joints of ours, {_text(labels['nyu14_mm'])} over the 14 that the field scores, "
                f"{_text(labels['nyu36_mm'])} over all 36."
            )]  # fmt: skip
    return lines


def _against(steady: Report, name: str) -> Goal:
    """How much less the acceleration error of what ships is than a filter's, at equal error."""
    note, below = "", None
    if steady:
        filtered, fused = steady[name], steady["fused"]
        if filtered["acceleration_mm_frame2"]:
            ratio = fused["acceleration_mm_frame2"] / filtered["acceleration_mm_frame2"]
            below = _percent(1 - ratio)
        note = filtered["setting"]
        if not filtered["at_equal_error"]:
            worse = filtered["error_mm"] - fused["error_mm"]
            note += f", whose error is {worse:.2f} mm larger: none has an equal one"
    title = f"acceleration error under {name} at equal error, %"
    return Goal(title, below, 0 if name == "one-euro" else None, more=True, note=note)


def _unknown(share: float | None) -> str:
    return "" if not share else f"{_text(_percent(share))} % unknown"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _text(value: float | None, digits: int = 3) -> str:
    """A number as short as it may be; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if abs(value) < 100 else f"{value:.1f}"
