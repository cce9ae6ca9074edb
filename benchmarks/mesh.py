"""What trainings with and without skinned meshes err on cones, meshes, fists and folded thumbs.

python benchmarks/mesh.py RUN RUN [--batches 24] [--seed 777]

Each run is of `cadstn train spatial.rendered.follow`. Frames are those of one seed, once as hands
of cones and once as meshes (needs the extra ``mesh``). Differences are the second run's less the
first's, with 95 % intervals over frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from cadstn.geometry.skeleton import KNUCKLES, WRIST
from cadstn.synth.stream import sample_clips
from cadstn.train.loading import load_networks
from cadstn.train.networks import predict
from cadstn.train.source import Batch, upright

BATCH = 64
TIPS = (8, 12, 16, 20)
THUMB_TIP = 4


def main() -> None:
    """Print a line of each kind of hands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path, nargs=2)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--seed", type=int, default=777)
    chosen = parser.parse_args()
    networks = [load_networks(run, "spatial")[0] for run in chosen.runs]
    for mesh in (0.0, 1.0):
        joints: list[np.ndarray] = []
        errors_mm: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for k in range(chosen.batches):
            index = torch.arange(BATCH * k, BATCH * (k + 1))
            clips = sample_clips(
                (chosen.seed, 5), index, 1, center="followed", depth_mm=(250.0, 900.0), mesh=mesh
            )
            cubes = clips.joints.new_full((BATCH,), 250.0)
            batch = upright(
                Batch(
                    clips.crops,
                    clips.joints,
                    clips.centers_mm,
                    cubes,
                    clips.handedness,
                    clips.presence,
                )
            )
            joints.append(batch.joints[:, 0].numpy())
            for own, network in zip(errors_mm, networks, strict=True):
                with torch.no_grad():
                    away = (predict(network, "spatial", batch) - batch.joints).norm(dim=-1) * 125
                own.append(away[:, 0].numpy())
        report("mesh" if mesh else "cones", np.concatenate(joints), *map(np.concatenate, errors_mm))


def report(name: str, joints: np.ndarray, one_mm: np.ndarray, two_mm: np.ndarray) -> None:
    """Print errors of all frames, of fists and of folded thumbs."""

    def apart(a: int, b: int) -> np.ndarray:
        return np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)

    reach = [apart(t, WRIST) / apart(k, WRIST) for t, k in zip(TIPS, KNUCKLES, strict=True)]
    folded = np.minimum(apart(THUMB_TIP, KNUCKLES[2]), apart(THUMB_TIP, KNUCKLES[3]))
    kinds = {
        "all": np.ones(len(joints), bool),
        "fists": np.mean(reach, 0) < 1.1,
        "folded thumbs": folded / apart(WRIST, KNUCKLES[1]) < 0.6,
    }
    rng = np.random.default_rng(0)
    for kind, rows in kinds.items():
        difference = (two_mm - one_mm)[rows].mean(1)
        again = rng.choice(difference, (2000, len(difference))).mean(1)
        low, high = np.percentile(again, (2.5, 97.5))
        print(
            f"{name}, {kind}: {rows.sum()} frames, {one_mm[rows].mean():.2f} and "
            f"{two_mm[rows].mean():.2f} mm, {difference.mean():+.2f} ({low:+.2f} to {high:+.2f})"
        )


if __name__ == "__main__":
    main()
