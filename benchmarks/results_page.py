"""Write the tables of docs/results.md and docs/real-frames.md from the reports of a release.

    cadstn bench model --sealed --keep data/sealed --json benchmarks/results/sealed.json
    cadstn bench model --sealed --keep data/sealed --weights BEFORE.onnx \
        --json benchmarks/results/sealed-before.json
    cadstn bench model --recordings 0 --empty 0 --real real --json benchmarks/results/real.json
    python benchmarks/results_page.py

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``. A test compares the pages with
the reports, so that no figure of them is typed. The text around the tables is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = ("docs/results.md", "docs/real-frames.md")
REPORTS = ROOT / "benchmarks" / "results"
#: Release 0.1.0 on the real frames, 2026-11-27.
BEFORE_REAL = {"lost": 0, "outside": 0.0216, "spread": 0.0325, "shared": 9.98, "nyu14": 7.40}
ERROR_SCALE = (64, 69)

Report = dict[str, Any]


def figure(value: float | None, digits: int = 3) -> str:
    """A number of three significant digits; a dash where nothing was measured."""
    if value is None:
        return "-"
    text = f"{value:#.{digits}g}".rstrip(".")
    return "0" if value == 0 else f"{value:.0f}" if "e" in text else text


def percent(share: float | None) -> str:
    """A share as percent."""
    return "-" if share is None else figure(100 * share)


def table(head: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    columns = list(columns)
    lines = [[head, *columns], ["---", *["---:"] * len(columns)], *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    text = text.replace("| --- |", "|---|").replace(" ---: |", "---:|")
    return re.sub(r"\|  (?=\|)", "| ", text)


def goal(report: Report, name: str) -> Report:
    """A row of a report's goals, by the beginning of its name."""
    return next(row for row in report["goals"] if row["name"].startswith(name))


def bold_if(missed: bool, text: str, more: str = "") -> str:
    """A result, bold where it misses its baseline, and what follows it."""
    return f"**{text}** {more}".strip() if missed else f"{text} {more}".strip()


def sealed_row(name: str, wanted: str) -> Callable[[Report, Report], list[str]]:
    """A row whose figure is a goal of the report."""

    def row(now: Report, before: Report) -> list[str]:
        this, that = goal(now, wanted), goal(before, wanted)
        interval = {"frames with": "within_30mm_95"}.get(wanted)
        more = [
            "({:.1f} to {:.1f})".format(*(100 * end for end in report["all"][interval]))
            if interval
            else ""
            for report in (before, now)
        ]
        return [
            name,
            f"{figure(that['measured'])} {more[0]}".strip(),
            bold_if(this["result"] == "missed", figure(this["measured"]), more[1]),
            f"{this['baseline']:g}",
            f"{this['target']:g}",
        ]

    return row


def plain_row(name: str, of: Callable[[Report], str]) -> Callable[[Report, Report], list[str]]:
    """A row without a goal."""
    return lambda now, before: [name, of(before), of(now), "", ""]


def scene_row(name: str, scene: str) -> Callable[[Report, Report], list[str]]:
    """A row of one scene's share of right frames."""
    return plain_row(name, lambda report: percent(report["scenes"][scene]["within_30mm"]))


def scale_row(now: Report, before: Report) -> list[str]:
    """How many joints lie within their error scale."""
    share = 100 * now["all"]["within_scale"]
    missed = not ERROR_SCALE[0] <= share <= ERROR_SCALE[1]
    return [
        "joints within their error scale, %",
        percent(before["all"]["within_scale"]),
        bold_if(missed, figure(share)),
        "{} to {}".format(*ERROR_SCALE),
        "66 to 67",
    ]


SEALED = (
    sealed_row("all 3,000 frames: worst joint within 30 mm, %", "frames with"),
    sealed_row("median joint error, a lost frame counts as infinitely far, mm", "median joint"),
    sealed_row("mean joint error of frames with a hand found, mm", "mean error"),
    plain_row(
        "lost; on the second hand, frames",
        lambda report: f"{report['all']['lost']}; {report['all']['on_the_other_hand']}",
    ),
    plain_row(
        "clean: mean, mm; within 30 mm, %",
        lambda report: "{}; {}".format(
            figure(report["scenes"]["clean"]["mean_error_mm"]),
            percent(report["scenes"]["clean"]["within_30mm"]),
        ),
    ),
    sealed_row("hands that hold things: mean, mm", "held things: mean"),
    sealed_row("the same: within 30 mm, %", "held things: frames"),
    sealed_row("things of a radius over 30 mm: within 30 mm, %", "held things of a radius"),
    scene_row("cut by the picture's edge: within 30 mm, %", "edge"),
    scene_row("1.2 to 2.4 m away: within 30 mm, %", "far"),
    scene_row("two hands: within 30 mm, %", "two-hands"),
    sealed_row(
        "acceleration error below that of one-euro at the setting with the least error, %",
        "acceleration error",
    ),
    plain_row(
        "acceleration error, mm/frame²",
        lambda report: figure(report["all"]["acceleration_error_mm_frame2"]),
    ),
    scale_row,
)


def sealed(now: Report, before: Report) -> str:
    """The sealed test beside the weights before."""
    columns = ("weights before", "unreleased", "baseline", "target")
    return table("measured", columns, (row(now, before) for row in SEALED))


def scenes(now: Report) -> str:
    """The sealed test by scene."""
    columns = (
        "frames", "lost", "on the second hand", "mean error, mm", "within 30 mm, %",
        "median joint, mm", "within error scale, %",
    )  # fmt: skip
    return table("scene", columns, (
        [
            name, str(row["frames"]), str(row["lost"]), str(row["on_the_other_hand"]),
            figure(row["mean_error_mm"]), percent(row["within_30mm"]),
            figure(row["median_joint_mm"]), percent(row["within_scale"]),
        ]
        for name, row in now["scenes"].items()
    ))  # fmt: skip


def filters(now: Report) -> str:
    """The temporal network against filters of the spatial network's joints."""
    names = {
        "fused": "fused", "spatial": "spatial network alone",
        "one-euro": "spatial, one-euro", "exponential": "spatial, exponential",
    }  # fmt: skip
    rows = []
    for key, name in names.items():
        row = now["all"]["steadiness"][key]
        setting = f" ({row['setting']})" if "setting" in row else ""
        rows.append(
            [name + setting, figure(row["error_mm"]), f"{row['acceleration_mm_frame2']:.2f}"]
        )
    return table("joints", ("mean error, mm", "acceleration error, mm/frame²"), rows)


def real(report: Report) -> str:
    """All real frames."""
    now, before = report["real"], BEFORE_REAL
    labels = now["recordings"]["nyu"]["labels"] or {}
    outside, spread = goal(report, "real: joints"), goal(report, "real: spread")
    shared = labels.get("shared_mm")
    lost = [name for name, row in now["recordings"].items() if row["lost"]]
    which = f" ({', '.join(name.upper() for name in lost)})" if lost else ""
    return table("measured", ("0.1.0", "unreleased", "baseline", "target"), [
        ["frames lost", str(before["lost"]), f"{now['lost']}{which}", "", ""],
        [
            "joints whose pixel is over 10 mm from the hand, %", percent(before["outside"]),
            bold_if(outside["result"] == "missed", percent(now["outside"])),
            f"{outside['baseline']:g}", f"{outside['target']:g}",
        ],
        [
            "standard deviation of bone lengths over their mean, %", percent(before["spread"]),
            bold_if(spread["result"] == "missed", percent(now["spread"])),
            f"{spread['baseline']:g}", f"{spread['target']:g}",
        ],
        [
            "NYU's one labelled frame, joints that both conventions have, mm",
            figure(before["shared"]), bold_if(shared is None or shared > 9, figure(shared)), "9",
            "7.5",
        ],
        [
            "the same, the 14 joints that are usually scored, mm", figure(before["nyu14"]),
            figure(labels.get("nyu14_mm")), "", "",
        ],
    ])  # fmt: skip


def recordings(report: Report) -> str:
    """Real frames by recording."""

    def pair(value: float | None, more: float | None, show: Callable[..., str] = figure) -> str:
        return "-" if value is None else f"{show(value)} ({show(more)})"

    now = report["real"]
    rows = [
        [
            name, str(row["frames"]), str(row["lost"]),
            pair(row["outside"], row["hidden"], percent), pair(*row["tips_mm"]),
            pair(*row["knuckles_mm"]), percent(row["spread"]),
            pair(row["jitter_mm_frame2"], row["jitter_at_rest_mm_frame2"]),
        ]
        for name, row in sorted(now["recordings"].items())
    ]  # fmt: skip
    every = pair(now["outside"], now["hidden"], percent)
    rows.append(
        ["all", str(now["frames"]), str(now["lost"]), every, "", "", percent(now["spread"]), ""]
    )
    columns = (
        "frames", "lost", "joints outside the hand, % (hidden ones)",
        "fingertips from the surface, mm, median (95 %)", "knuckles, the same", "bone spread, %",
        "jitter, mm/frame² (at rest)",
    )  # fmt: skip
    return table("recording", columns, rows)


def tables() -> dict[str, str]:
    """All tables by name."""
    now, before, seen = (
        json.loads((REPORTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("sealed", "sealed-before", "real")
    )
    return {
        "sealed": sealed(now, before),
        "scenes": scenes(now),
        "filters": filters(now),
        "real": real(seen),
        "recordings": recordings(seen),
    }


def filled(page: str, made: dict[str, str]) -> str:
    """A page with its tables made anew."""
    return re.sub(
        r"(<!-- table (\w+) -->\n\n).*?(\n\n<!-- end -->)",
        lambda found: found[1] + made[found[2]] + found[3],
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for name in PAGES:
        path = ROOT / name
        page = path.read_text(encoding="utf-8")
        path.write_text(filled(page, tables()), encoding="utf-8")
        print(f"{name}: {page.count('<!-- table ')} tables")
