"""What the paper prints, which files of the field belong to which method, and their colours.

Figures quoted from: Wu et al., "Context-Aware Deep Spatio-Temporal Network for Hand Pose
Estimation from Depth Images", tables II to V. They are quoted, never computed here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

#: Table II (nyu) and III (icvl): mean error in mm as printed, in the paper's order.
PAPER_MM: dict[str, dict[str, float]] = {
    "nyu": {
        "HeatMap": 21.02, "DeepPrior": 19.73, "Feedback": 15.97, "DeepModel": 16.90,
        "Lie-X": 14.51, "CADSTN (authors)": 14.83,
    },
    "icvl": {
        "LRF": 12.56, "DeepPrior": 9.42, "DeepModel": 11.55, "CrossingNet": 10.22, "LSN": 8.20,
        "CADSTN (authors)": 8.04,
    },
}  # fmt: skip

#: The paper's number of the table that compares methods on a set.
PAPER_TABLE = {"nyu": "II", "icvl": "III"}

#: Table IV (NYU): mean error in mm of the five networks, as printed.
PAPER_NETWORKS_MM = {
    "Sliced 3D Input": 16.56, "Baseline": 15.95, "Temporal": 15.47, "Spatial": 15.03,
    "CADSTN": 14.83,
}  # fmt: skip

#: Table V (NYU): mean error in mm at each fixed weight w, as printed. The paper does not say which
#: of the two predictions w multiplies; table IV's temporal network is the worse, so is w = 0.9.
PAPER_FIXED_WEIGHT_MM = {
    0.1: 14.98, 0.2: 14.94, 0.3: 14.89, 0.4: 14.88, 0.5: 14.89, 0.6: 14.90, 0.7: 14.92, 0.8: 15.06,
    0.9: 15.24,
}  # fmt: skip

#: The five networks of the ablation, by the names that every table and figure here uses.
NETWORKS = ("Sliced 3D Input", "Baseline", "Temporal", "Spatial", "CADSTN")

# Stems of the published files (see xinghaochen/awesome-hand-pose-estimation and the authors' own
# repository) and of the files that `cadstn predict` and `cadstn reproduce` write.
_METHOD_OF_STEM = {
    "CVWW15_NYU_Prior-Refinement": "DeepPrior",
    "CVWW15_ICVL_Prior-Refinement": "DeepPrior",
    "ICCV15_NYU_Feedback": "Feedback",
    "IJCAI16_NYU_DeepModel": "DeepModel",
    "IJCAI16_ICVL_DeepModel": "DeepModel",
    "IJCV16_NYU_LieX": "Lie-X",
    "CVPR17_NYU_3DCNN": "3DCNN",
    "CVPR18_NYU_V2V_PoseNet": "V2V-PoseNet",
    "CVPR18_ICVL_V2V_PoseNet": "V2V-PoseNet",
    "ICCVW17_NYU_DeepPrior++": "DeepPrior++",
    "ICIP17_ICVL_Guo_Basic": "Guo baseline",
    "CVPR14_LRF_Results": "LRF",
    "icvl_mix": "CADSTN (authors)",
    "icvl_3D_and_depth": "Spatial (authors)",
    "icvl_lstm": "Temporal (authors)",
    "icvl_baseline": "Baseline (authors)",
    "icvl_depth": "Baseline, 2nd training (authors)",
    "icvl_3D": "Sliced 3D Input (authors)",
    "cadstn": "CADSTN",
    "spatial": "Spatial",
    "temporal": "Temporal",
    "baseline": "Baseline",
    "sliced": "Sliced 3D Input",
}

# One colour a method in every figure. Okabe and Ito's eight, then more of like strength; the
# authors' networks share the colour of ours, because a network keeps its colour, and are dashed.
_COLOURS = {
    "CADSTN": "#D55E00",
    "Spatial": "#0072B2",
    "Temporal": "#009E73",
    "Baseline": "#E69F00",
    "Sliced 3D Input": "#CC79A7",
    "Baseline, 2nd training": "#B8860B",
    "DeepPrior": "#7F7F7F",
    "DeepPrior++": "#8C564B",
    "Feedback": "#56B4E9",
    "DeepModel": "#2E8B57",
    "Lie-X": "#9467BD",
    "3DCNN": "#1F3A93",
    "V2V-PoseNet": "#000000",
    "LRF": "#BCBD22",
    "Guo baseline": "#17BECF",
    "truth": "#444444",
}
_OTHERS = ("#AA3377", "#66A61E", "#4B0082", "#E7298A", "#A6761D", "#1B9E77", "#B22222", "#6A8EAE")
_AUTHORS = " (authors)"


def method_name(path: str | Path) -> str:
    """Name the method of a file: the field's name where it is known, otherwise the file's stem.

    >>> method_name("nyu/IJCV16_NYU_LieX.txt"), method_name("runs/mine.npz")
    ('Lie-X', 'mine')
    """
    stem = Path(path).stem
    return _METHOD_OF_STEM.get(stem, stem)


def colour_of(name: str) -> str:
    """Colour of a method, the same in every figure; an unknown name always gets the same one."""
    plain = name.removesuffix(_AUTHORS)
    return _COLOURS.get(plain) or _OTHERS[zlib.crc32(plain.encode()) % len(_OTHERS)]


def dash_of(name: str) -> str:
    """Line style of a method: the authors' own predictions are dashed."""
    return "--" if name.endswith(_AUTHORS) else "-"


def paper_rows(set_name: str, present: Iterable[str]) -> list[tuple[str, float]]:
    """Rows of the paper's table of a set whose files are not at hand: to be quoted."""
    held = set(present)
    return [(name, mm) for name, mm in PAPER_MM.get(set_name, {}).items() if name not in held]
