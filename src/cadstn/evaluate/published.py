"""Published figures, which published files belong to which method, and the methods' colours.

Quoted from: Wu et al., "Context-Aware Deep Spatio-Temporal Network for Hand Pose Estimation from
Depth Images", tables II to V, and from the authors' evaluation log. Nothing is computed here.
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

#: The authors' own evaluation log of 2017-09-05 (repository weleen/CADSTN.caffe): mean error in mm
#: of each joint, NYU in the order of the 14, ICVL of the 16. NYU's means are table IV's; ICVL's
#: baseline is the training whose predictions are the file icvl_depth.
AUTHORS_LOG_MM: dict[str, dict[str, tuple[float, ...]]] = {
    "nyu": {
        "Sliced 3D Input": (
            23.6176, 15.6974, 21.491, 12.3774, 21.7712, 12.8329, 25.2708, 15.6623, 19.9376,
            16.7006, 13.6486, 11.9667, 11.6698, 9.2351,
        ),
        "Baseline": (
            22.2135, 14.716, 19.7249, 11.7331, 20.7147, 12.7745, 24.1763, 15.0899, 19.5872,
            16.4864, 13.4814, 11.7489, 11.8579, 9.018,
        ),
        "Temporal": (
            21.128, 14.3514, 19.2266, 11.9232, 20.1678, 12.7993, 23.9123, 14.5456, 19.0145,
            16.0025, 12.9594, 10.8062, 10.9284, 8.7621,
        ),
        "Spatial": (
            20.7143, 13.9227, 18.9273, 11.3469, 19.66, 12.0086, 22.7774, 14.2358, 18.3194,
            15.3619, 12.6385, 10.8601, 10.9238, 8.6646,
        ),
        "CADSTN": (
            20.5477, 13.8507, 18.5809, 11.3064, 19.2469, 12.0828, 22.8536, 14.1042, 17.9095,
            15.0486, 12.402, 10.5996, 10.667, 8.522,
        ),
    },
    "icvl": {
        "Sliced 3D Input": (
            6.635, 7.7925, 8.5699, 10.3747, 7.8475, 9.2398, 13.0006, 6.6573, 10.2718, 14.3462,
            7.1483, 10.8267, 15.0301, 7.3182, 8.5059, 11.7363,
        ),
        "Baseline": (
            6.5176, 7.6086, 7.86, 9.3321, 7.185, 8.5157, 12.0368, 6.0706, 9.6484, 13.3655, 6.5359,
            9.8253, 13.7966, 7.1966, 8.0209, 11.3216,
        ),
        "Temporal": (
            6.3737, 7.2069, 7.9611, 9.897, 7.9841, 9.0257, 12.435, 6.3974, 9.4269, 13.4031,
            6.0303, 8.799, 13.2923, 6.6462, 7.7043, 11.0929,
        ),
        "Spatial": (
            6.211, 7.0891, 7.7668, 8.7911, 8.2281, 8.4003, 10.5819, 6.3095, 8.297, 11.1983,
            5.9689, 8.3366, 11.6032, 6.2244, 7.0242, 9.3203,
        ),
        "CADSTN": (
            6.1158, 6.9954, 7.576, 8.6669, 7.8954, 8.0922, 10.382, 6.0975, 8.0762, 10.9191,
            5.8097, 8.0636, 11.4685, 6.2462, 6.8872, 9.2891,
        ),
    },
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
    "icvl_depth": "Baseline (authors)",  # the one in the authors' log
    "icvl_baseline": "Baseline, 2nd training (authors)",
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
    """Name the method of a file: its published name where it is known, otherwise the file's stem.

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


def authors_log_mm(set_name: str) -> dict[str, tuple[float, ...]]:
    """Per-joint errors of the authors' five networks, by the names of their files' methods.

    >>> [f"{sum(mm) / len(mm):.2f}" for mm in authors_log_mm("nyu").values()]
    ['16.56', '15.95', '15.47', '15.03', '14.84']
    """
    return {f"{name}{_AUTHORS}": mm for name, mm in AUTHORS_LOG_MM.get(set_name, {}).items()}


#: What the authors' figures of the fusion were made with. Sources: dates and definitions of the
#: authors' repository, branches code and dev.
FREE_GATE = (
    "What the published figures of the fusion were made with. The authors' log (14.84 mm on NYU) "
    "and their ICVL files date from 2017-09-05. The gate of equation 6, a sigmoid with w2 = 1 - "
    "w1, was committed two days later. The gate before it gave two free weights a coordinate "
    "without a sigmoid: one times the temporal prediction plus the other times the spatial one. "
    "Equation 6 cannot leave the interval between its two experts. The printed 14.83 and 8.04 were "
    "therefore most likely made with the free gate, and say little of equation 6's."
)
