"""How long a training takes: what the progress bar shows, and the first estimate."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from cadstn.io.text import duration

if TYPE_CHECKING:
    from cadstn.train import Progress
    from cadstn.train.recipes import Plan, Recipe

#: Steps after which the first estimate of the time is printed; a compiled one's first are slow.
FIRST_ESTIMATE = {"eager": 20, "compiled": 200, "captured": 200}


class Clock:
    """How long a training will take, by the speed that it has.

    Stages yet to come are counted at the speed of the one that runs, in images: of the paper's the
    temporal one is up to 2.5 times as fast as the spatial one.
    """

    def __init__(self, recipe: Recipe) -> None:
        plans = {stage: recipe.plan(stage) for stage in recipe.stages}
        self._plans = plans
        self.steps = sum(plan.steps for plan in plans.values())

    def done(self, progress: Progress) -> int:
        """Steps of all stages so far."""
        return self._sum_before(progress.stage, lambda plan: plan.steps) + progress.step

    def left_s(self, progress: Progress) -> float:
        """Seconds that are left."""
        whole = sum(plan.steps * plan.batch for plan in self._plans.values())
        before = self._sum_before(progress.stage, lambda plan: plan.steps * plan.batch)
        images = whole - before - progress.step * self._plans[progress.stage].batch
        return images / max(progress.images_per_s, 1e-9)

    def estimate(self, progress: Progress) -> str:
        """Describe what is to come, in one line."""
        return (
            f"\nestimate: {duration(self.left_s(progress))} for the "
            f"{self.steps - self.done(progress):,} steps left, at {progress.images_per_s:.0f} "
            "images/s"
        )

    def _sum_before(self, stage: str, of: Callable[[Plan], int]) -> int:
        stages = list(self._plans)
        return sum(of(self._plans[other]) for other in stages[: stages.index(stage)])


class PhaseClock:
    """Time left of work that counts what it has done, by the speed of the phase at hand."""

    def __init__(self) -> None:
        self._what = ""
        self._first, self._began = 0, 0.0
        self._written = time.monotonic()

    def left(self, what: str, done: int, total: int) -> str:
        """Text of the time left, empty until a phase has shown its speed."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._first, self._began = what, done, now
        moved = done - self._first
        if not moved or done >= total:
            return ""
        return f", {duration((now - self._began) / moved * (total - done))} left"

    def minute_is_over(self) -> bool:
        """Whether a minute has passed since this was last so: where lines stay, few are enough."""
        now = time.monotonic()
        if now - self._written < 60:
            return False
        self._written = now
        return True


def progress_line(item: tuple[Progress, float | None] | None) -> str | None:
    """What the bar shows beside the steps."""
    if item is None:
        return None
    progress, left_s = item
    parts = [f"{progress.stage} {progress.step}/{progress.steps}", f"loss {progress.loss:.3f}"]
    if progress.error_mm is not None:
        parts.append(f"{progress.error_mm:.1f} mm")
    parts.append(f"{progress.images_per_s:.0f} images/s")
    if left_s is not None:
        parts.append(f"{duration(left_s)} left")
    return "  ".join(parts)
