"""From a hand's 21 joints to the labels of the data sets: NYU's 36 and 14, ICVL's 16, MSRA's 21.

Every label is a weighted mean of the 21 joints (MediaPipe's order). Such a rule holds for truth and
for predictions alike, for either hand, in any frame and unit, and needs no data set. Where the
labels of each set lie was read off real ones; they were set by other people's models of a hand, so
that a rule can be a few millimetres off in any single frame.

- NYU (Tompson et al. 2014), from the labels of a test frame over its depth: of each bone of a
  finger the far part (``A``) and the joint at its root (``B``). ``KNU1_B``, ``KNU2_B``, ``KNU3_B``
  are the joints from the root on (of the thumb CMC, MCP and IP), ``KNU1_A`` and ``KNU2_A`` the
  middles of the bones between, ``KNU3_A`` lies a little before the tip. ``PALM_1`` and ``PALM_2``
  are the little finger's and the thumb's side of the wrist, ``PALM_6`` their middle; ``PALM_3``,
  ``PALM_4`` and ``PALM_5`` lie in the palm.
- ICVL (Tang et al. 2014), from the distances between the labels of its test set: root, mid and tip
  are the middles of the three bones of a finger. Measured 29 and 19 mm for the index finger,
  34 and 22 for the middle one, 31 and 21, 23 and 18; between the middles of average bones it is
  31 and 19, 35 and 22, 34 and 21, 25 and 17.
- MSRA15 (Sun et al. 2015): the same 21 joints, the thumb last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from cadstn.geometry.skeleton import HAND21, ICVL16, MSRA21, NYU14, NYU14_OF_36, NYU36, skeleton

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: A label: how much of which joint.
Rule = Mapping[str, float]


def _between(one: str, other: str, share: float = 0.5) -> Rule:
    """A point on the way from one joint to another."""
    return {one: 1 - share, other: share}


def _nyu_digit(joints: tuple[str, str, str, str]) -> list[Rule]:
    """``KNU3_A`` to ``KNU1_B`` of a digit whose joints are given from the root to the tip."""
    root, second, third, tip = joints
    return [
        _between(third, tip, 0.85), {third: 1.0},
        _between(second, third), {second: 1.0},
        _between(root, second), {root: 1.0},
    ]  # fmt: skip


def _chain(digit: str) -> tuple[str, str, str, str]:
    """Joints of a digit from its root to its tip."""
    first, second, third, tip = (HAND21.joints[i] for i in HAND21.fingers[digit])
    return first, second, third, tip


def _nyu36() -> list[Rule]:
    """NYU's labels: five digits from the little finger on, then the palm."""
    digits = ("pinky", "ring", "middle", "index", "thumb")
    rules = [rule for digit in digits for rule in _nyu_digit(_chain(digit))]
    side = 0.24  # of the way from one outer knuckle to the other
    return [
        *rules,
        {"wrist": 1.0, "pinky_mcp": side, "index_mcp": -side},
        {"wrist": 1.0, "pinky_mcp": -side, "index_mcp": side},
        _between("wrist", "middle_mcp", 0.75),
        {"wrist": 0.3, "pinky_mcp": 0.35, "ring_mcp": 0.35},
        _between("wrist", "middle_mcp", 0.5),
        {"wrist": 1.0},
    ]


def _icvl16() -> list[Rule]:
    """ICVL's labels: the palm, then the middles of the bones of each digit."""
    rules: list[Rule] = [dict.fromkeys(("wrist", "middle_mcp", "ring_mcp"), 1 / 3)]
    for digit in ICVL16.fingers:
        first, second, third, tip = _chain(digit)
        # The thumb's first bone is its metacarpal, and its label lies nearer to that bone's head.
        root = _between(first, second, 2 / 3 if digit == "thumb" else 0.5)
        rules += [root, _between(second, third), _between(third, tip)]
    return rules


def _msra21() -> list[Rule]:
    """MSRA's labels: the wrist, then four joints a digit."""
    return [{"wrist": 1.0}, *({name: 1.0} for digit in MSRA21.fingers for name in _chain(digit))]


_RULES: dict[str, Callable[[], list[Rule]]] = {
    HAND21.name: lambda: [{joint: 1.0} for joint in HAND21.joints],
    NYU36.name: _nyu36,
    NYU14.name: lambda: [_nyu36()[i] for i in NYU14_OF_36],
    ICVL16.name: _icvl16,
    MSRA21.name: _msra21,
}


@functools.cache
def label_weights(name: str) -> NDArray[np.float64]:
    """Return (K, 21) weights that make a convention's labels from the 21 joints; rows sum to 1.

    Args:
        name: a skeleton's: hand21, nyu36, nyu14, icvl16 or msra21.

    Raises:
        CadstnError: no skeleton has this name.
    """
    rules = _RULES[skeleton(name).name]()
    weights = np.array([[rule.get(joint, 0.0) for joint in HAND21.joints] for rule in rules])
    weights.setflags(write=False)
    return weights


@functools.cache
def _tensor(name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """`label_weights` on a device, sent there once."""
    import torch

    with torch.inference_mode(False):  # or no later training could use them
        return torch.tensor(label_weights(name), dtype=dtype, device=device)


@overload
def convert(joints_xyz_mm: NDArray[np.floating], name: str) -> NDArray[np.floating]: ...
@overload
def convert(joints_xyz_mm: Tensor, name: str) -> Tensor: ...
def convert(
    joints_xyz_mm: NDArray[np.floating] | Tensor, name: str
) -> NDArray[np.floating] | Tensor:
    """Return the labels of a convention for hands given by their 21 joints.

    >>> import numpy as np
    >>> convert(np.zeros((8, 21, 3)), "nyu36").shape
    (8, 36, 3)

    Args:
        joints_xyz_mm: (..., 21, 3) in MediaPipe's order, an array or a tensor; any frame whose
            axes are straight (millimetres, a normalised crop), not pixels.
        name: a skeleton's: hand21, nyu36, nyu14, icvl16 or msra21.

    Returns:
        (..., K, 3), of the kind that came in; whole numbers become float64.

    Raises:
        CadstnError: no skeleton has this name.
    """
    if isinstance(joints_xyz_mm, np.ndarray):
        joints = joints_xyz_mm if joints_xyz_mm.dtype.kind == "f" else joints_xyz_mm.astype(float)
        labels: NDArray[np.floating] = label_weights(name).astype(joints.dtype) @ joints
        return labels
    if not joints_xyz_mm.is_floating_point():
        joints_xyz_mm = joints_xyz_mm.double()
    return _tensor(name, joints_xyz_mm.device, joints_xyz_mm.dtype) @ joints_xyz_mm
