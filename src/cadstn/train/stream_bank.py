"""A bank of rendered clips, for trainings that see the same frames several times, and for tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from cadstn._version import __version__
from cadstn.data.bank import Bank, CropRule, open_bank, quantise, write_bank
from cadstn.errors import CadstnError
from cadstn.skeleton import skeleton
from cadstn.synth.stream import sample_clips

_BANK = 5  # second word of the seed, apart from those of training (see `train.source`)
_AT_ONCE = 64  # frames rendered together


def stream_bank(
    path: Path,
    rule: CropRule,
    *,
    seed: int,
    clips: int,
    frames: int,
    device: str = "cpu",
    compiled: bool = False,
    on_frames: Callable[[int], None] = lambda count: None,
) -> Bank:
    """Render clips into a bank, each a shot with a hand and a motion of its own.

    Args:
        path: the file; one that holds these very clips is opened as it is.
        rule: joints, cube and size; the centre is where a tracker would have it.
        seed: banks of two seeds share no hand and no motion.
        clips: how many.
        frames: frames a clip.
        device: where to render.
        compiled: see `cadstn.synth.stream.sample_clips`.
        on_frames: told how many more frames are done.

    Raises:
        CadstnError: if the file holds something else, or the disk is full.
    """
    data = json.dumps(
        {"rendered": seed, "clips": clips, "frames": frames, "version": __version__},
        sort_keys=True,
    )
    rule = CropRule(**{**asdict(rule), "center": "tracked"})
    if path.exists():
        bank = open_bank(path)
        bank.check_rule(rule)
        if bank.about["data"] != data:
            raise CadstnError(
                f"a bank of other clips ({bank.about['data']})",
                where=path,
                mend="give another file, or the clips that this one was made of",
            )
        on_frames(len(bank))
        return bank

    def fill(bank: Bank) -> None:
        for index in torch.split(torch.arange(clips), max(1, _AT_ONCE // frames)):
            batch = sample_clips(
                (seed, _BANK), index, frames, cube_mm=rule.cube_mm, size=rule.size,
                skeleton=rule.skeleton, device=device, compiled=compiled,
            )  # fmt: skip
            place = slice(int(index[0]) * frames, (int(index[-1]) + 1) * frames)
            bank.crops[place] = quantise(batch.crops.flatten(0, 1).cpu().numpy())
            bank.joints[place] = batch.joints.flatten(0, 1).cpu().numpy()
            bank.centers_mm[place] = batch.centers_mm.flatten(0, 1).cpu().numpy()
            bank.cube_mm[place] = rule.cube_mm
            bank.shots[place] = index.repeat_interleave(frames).numpy()
            on_frames(len(index) * frames)

    about = {"data": data, "rule": rule.to_json(), "set": "rendered", "split": f"seed {seed}"}
    shape = (clips * frames, rule.size, len(skeleton(rule.skeleton)))
    return write_bank(path, shape, about, fill)
