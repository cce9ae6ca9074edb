"""The report on weights as people read it: Markdown."""

from __future__ import annotations

from cadstn.bench.accuracy.goals import Report, goal_lines, goals
from cadstn.bench.accuracy.measure import SOON
from cadstn.bench.text import number, percent, table


def heading(report: Report) -> list[str]:
    """What was measured, and where."""
    return [f"Weights: {report['weights']}; cadstn {report['cadstn']}; {report['machine']}", ""]


def report_lines(report: Report) -> list[str]:
    """Lay a report of `cadstn.bench.accuracy.model.bench_model` out as Markdown."""
    lines = [*heading(report), *goal_lines(goals(report))]
    if report["rendered"]:
        lines += ["", *_rendered_lines(report["rendered"], report["seed"])]
    if report["beside"]:
        lines += ["", *beside_lines(report["weights"], report["beside"])]
    if report["false_alarms"]:
        lines += ["", *_alarm_lines(report["false_alarms"])]
    if report["real"]:
        lines += ["", *_real_lines(report["real"])]
    return lines


def _rendered_lines(errors: Report, seed: int) -> list[str]:
    def text(key: str) -> str:
        return number(errors[key])

    def share(key: str) -> str:
        return f"{number(percent(errors[key]))} %"

    within = ", ".join(
        f"{mm} mm {number(percent(good))} %" for mm, good in errors["worst_joint_within"].items()
    )
    low, high = errors["mean_error_95_mm"]
    near_low, near_high = (percent(x) for x in errors["worst_joint_within_30mm_95"])
    lines = [
        f"Rendered: {errors['frames']} frames of {errors['recordings']} recordings, seed {seed}. "
        f"Left out: {errors['partly_out_of_picture']} with a joint out of the picture, "
        f"{errors['on_the_other_hand']} in which the second hand is followed, which has no labels. "
        f"Of the other {errors['counted']}, {errors['lost']} ({share('lost_share')}) are lost. "
        f"{errors['entered']} times a hand enters: {share('found_soon')} found within {SOON} "
        f"frames; of the frames after these {share('lost_later')} lost.",
        "",
        f"- mean error {text('mean_error_mm')} mm (95 %: {number(low)} to {number(high)}), "
        f"median with lost frames infinitely far {text('median_error_mm')}; "
        f"with the frames on the second hand {text('mean_error_with_other_hand_mm')}",
        f"- worst joint within: {within} "
        f"(30 mm, 95 %: {number(near_low)} to {number(near_high)} %)",
        f"- middle of the hand: {share('center_within_15mm')} under 15 mm, 95th percentile "
        f"{text('center_p95_mm')} mm; {share('wrong_place')} over 100 mm off. "
        f"Of the cube: {share('cube_within_15mm')}, {text('cube_p95_mm')} mm",
        f"- given center: {text('center_given_error_mm')} mm in the same frames, "
        f"{text('center_given_all_frames_mm')} in all with the whole hand",
        f"- acceleration error {text('acceleration_error_mm_frame2')} mm/frame^2; "
        f"the hands' own {text('truth_acceleration_mm_frame2')}",
        "",
        *table("| camera | frames | lost | mean error mm |", (
            (name, one["counted"], one["lost"], number(one["mean_error_mm"]))
            for name, one in errors["by_camera"].items()
        )),
    ]  # fmt: skip
    if errors["steadiness"]:
        lines += ["", *steady_lines(errors["steadiness"])]
    if errors["calibration"]:
        lines += ["", *_scale_lines(errors["calibration"])]
    return lines


def beside_lines(name: str, beside: Report) -> list[str]:
    """Two networks frame by frame, see `cadstn.bench.accuracy.compare`."""
    other = beside["weights"]
    rows = []
    for key, title, times in (
        ("mean_error_mm", "mean error mm, both found", 1),
        ("within_30mm", "worst joint under 30 mm, counted frames, %", 100),
        ("whole_within_30mm", "the same of all frames with the whole hand, %", 100),
        ("acceleration_error_mm_frame2", "acceleration error mm/frame^2, both found", 1),
    ):
        one = beside[key]
        values = (one["this"], one["other"], one["difference"], *one["difference_95"])
        this, that, gap, low, high = (None if x is None else x * times for x in values)
        between = f"{number(low)} to {number(high)}"
        rows.append((title, number(this), number(that), number(gap), between))
    return [
        f"Beside {other}, frame by frame: {beside['counted']} frames count for both, both found "
        f"the hand in {beside['found']}.",
        "",
        *table(f"| | {name} | {other} | difference | 95 % of it |", rows),
    ]


def steady_lines(steady: Report) -> list[str]:
    """Acceleration errors, see `cadstn.bench.accuracy.measure.steadiness`."""
    rows = []
    for name in ("fused", "spatial", "one-euro", "exponential"):
        one = steady[name]
        label = name
        if "setting" in one:
            equal = "" if one["at_equal_error"] else ", none has as small an error"
            label = f"spatial, {name} ({one['setting']}{equal})"
        rows.append((label, number(one["error_mm"]), number(one["acceleration_mm_frame2"])))
    return table("| joints | mean error mm | acceleration error mm/frame^2 |", rows)


def _scale_lines(scales: Report) -> list[str]:
    rows = []
    for one in scales["bins"]:
        low, high = f"{one['from_mm']:g}", one["to_mm"]
        rows.append((
            f"over {low}" if high is None else f"{low} to {high:g}", one["joints"],
            number(percent(one["within_scale"])), number(percent(one["within_10mm"])),
            number(one["median_error_mm"]),
        ))  # fmt: skip
    return [
        f"{number(percent(scales['within_scale']))} % of all joints lie within their error scale.",
        "",
        *table(
            "| error scale, mm | joints | within it, % | within 10 mm, % | median error mm |", rows
        ),
    ]


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
        f"{number(percent(real['outside']))} % of joints, among them "
        f"{number(percent(real['hidden']))} % that the hand may hide.",
        "",
        *table(
            "| recording | frames | lost | outside % (hidden) | tips from surface mm, "
            "median (95 %) | knuckles | bone spread % | jitter mm/frame^2 (at rest) |",
            (_real_cells(name, one) for name, one in real["recordings"].items()),
        ),
    ]
    for name, one in real["recordings"].items():
        if one["labels"]:
            labels = one["labels"]
            lines += ["", (
                f"{name}, against its labels: {number(labels['shared_mm'])} mm over those that are "
                f"joints of hand21, {number(labels['nyu14_mm'])} over the 14 that NYU's test "
                f"scores, {number(labels['nyu36_mm'])} over all 36."
            )]  # fmt: skip
    return lines


def _real_cells(name: str, one: Report) -> tuple[object, ...]:
    return (
        name, one["frames"], one["lost"],
        f"{number(percent(one['outside']))} ({number(percent(one['hidden']))})",
        *(f"{number(one[k][0])} ({number(one[k][1])})" for k in ("tips_mm", "knuckles_mm")),
        number(percent(one["spread"])),
        f"{number(one['jitter_mm_frame2'])} ({number(one['jitter_at_rest_mm_frame2'])})",
    )  # fmt: skip
