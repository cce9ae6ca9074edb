"""A hand's kinematics: bone lengths and joint angles -> 21 joints and the cones around them.

The palm's own frame (millimetres, origin at the wrist): x to the thumb, y along the fingers, z out
of the palm. For a right hand this frame is right-handed; a left hand is its mirror image in x.

A fingertip joint is the end of the last bone: the pulp reaches some 4 mm further (6 mm at the
thumb). The wrist is the centre of the radiocarpal joint, every other joint the centre of its own.

Degrees of freedom: four a finger, four of the thumb, two of the wrist, and six of the whole hand,
which are the caller's. Coupled, and so no freedom of their own: the metacarpals of ring and little
finger, which cup the palm as these fingers bend (`_ARCH`); what is left of a finger's splay when it
bends (abduction vanishes as the collateral ligaments tighten: Kapandji, The Physiology of the
Joints, vol. 1); and, for those who draw poses, the last joint (`DIP_PER_PIP`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from cadstn.geometry.hand_shape import BONES_MM, FINGERS, MCP_MM, THUMB_CMC_MM
from cadstn.synth.shape import CMC_MM, Shape, constant
from cadstn.synth.surface import CONE_PARTS, CONE_SEGMENT, Cones, hand_cones

__all__ = [
    "ANGLES", "CONE_PARTS", "CONE_SEGMENT", "DIP_PER_PIP", "FINGERS", "LIMITS_DEG",
    "THUMB_ACROSS",
    "Cones", "Shape", "forward",
]  # fmt: skip

#: Joint angles in a pose, in order, in radians (see `forward`).
ANGLES = (
    *(f"{f}_{a}" for f in FINGERS for a in ("flex", "splay", "pip", "dip")),
    "thumb_radial", "thumb_palmar", "thumb_mcp", "thumb_ip",
    "wrist_flex", "wrist_side",
)  # fmt: skip

#: Limits of each angle in degrees, (low, high), in the order of `ANGLES`. Active flexion of the
#: joints of fingers and thumb to 100, 105, 85, 56 and 73 degrees: Hume et al., J. Hand Surg. Am.
#: 15(2), 1990. Wrist 80 flexion, 70 extension, 20 radial, 30 ulnar, and 20 degrees of splay to
#: either side and of hyperextension: American Academy of Orthopaedic Surgeons, Joint Motion, 1965.
#: The thumb's root, a saddle, in this model's two angles: our own estimate.
LIMITS_DEG = (
    *((-20.0, 100.0), (-20.0, 20.0), (-5.0, 105.0), (-5.0, 85.0)) * 4,
    (-15.0, 65.0), (0.0, 65.0), (-10.0, 56.0), (-15.0, 73.0),
    (-70.0, 80.0), (-30.0, 20.0),
)  # fmt: skip

#: A last joint that follows the middle one bends two thirds as far (Rijpkema & Girard, "Computer
#: animation of knowledge-based human grasping", SIGGRAPH 1991; Lin, Wu & Huang, "Modeling the
#: constraints of human hand motion", 2000).
DIP_PER_PIP = 2 / 3

# Fingers spread a little when the splay is zero (our own estimate).
_SPLAY_REST_DEG = (4.0, 0.0, -5.0, -11.0)
# Bent fingers do not stay parallel: all point to the scaphoid at the root of the thumb (Kapandji).
# How far the plane of bending leans towards the thumb is our own estimate.
LEAN_DEG = (-2.0, 0.0, 3.0, 6.0)
# Flexion of a metacarpal for each degree of its finger: some ten degrees for ring and twenty for
# little finger in a fist; those of index and middle finger hardly move (Kapandji).
_ARCH = (0.0, 0.0, 0.1, 0.2)
#: The thumb bends across the palm, towards the little finger and the palm's own front.
THUMB_ACROSS = (-0.85, 0.0, 0.5)


def forward(angles: Tensor, shape: Shape) -> tuple[Tensor, Cones]:
    """Forward kinematics in the palm's frame.

    Args:
        angles: (B, 22) radians in the order of `ANGLES`. ``flex``, ``pip``, ``dip`` bend a finger
            towards the palm; ``splay`` moves it towards the thumb; ``thumb_radial`` opens the thumb
            away from the index, ``thumb_palmar`` lifts it out of the palm's plane; ``wrist_flex``
            bends the hand towards its palm, ``wrist_side`` towards the thumb.
        shape: the hand's shape, B of them.

    Returns:
        joints (B, 21, 3) mm in MediaPipe's order, and the cones of hand and arm (`CONE_PARTS`).
    """
    # Fields are on one scale: the size and the mirror come last, for joints and cones alike.
    cmc, mcp, chain, palmar = finger_chains(angles[:, :16].reshape(-1, 4, 4), shape)
    thumb, thumb_palmar = thumb_chain(angles[:, 16:20], shape)
    digits = torch.cat([thumb_palmar[:, None], palmar], 1) * shape.girth[..., None, None]
    fingers = torch.cat([mcp[:, :, None], chain], 2).flatten(1, 2)
    places = torch.cat([cmc, thumb, fingers, digits.flatten(1, 2)], 1)
    cones = hand_cones(places, angles[:, 20:22], shape)
    joints = torch.cat([torch.zeros_like(thumb[:, :1]), thumb, fingers], 1)

    scale = shape.size[:, None, None]
    one = torch.ones_like(shape.left)
    to_side = torch.stack([1 - 2 * shape.left, one, one], -1)[:, None] * scale
    wide = scale[..., 0]
    return joints * to_side, Cones(
        cones.a * to_side, cones.b * to_side, cones.ra * wide, cones.rb * wide
    )


def finger_chains(angles: Tensor, shape: Shape) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Roots of the metacarpals, MCP joints, chains and palmar directions of the four fingers.

    Args:
        angles: (B, 4, 4) flexion, splay, and the bends of the two further joints.
        shape: the hand's shape.

    Returns:
        (B, 4, 3), (B, 4, 3), (B, 4, 3, 3) joints beyond the MCP, (B, 4, 3, 3) unit vectors.
    """
    flex, splay, pip, dip = angles.unbind(-1)
    palm = shape.palm[:, None]
    cmc, rest = constant(CMC_MM, angles) * palm, constant(MCP_MM, angles) * palm
    arch = flex.clamp(min=0) * constant(_ARCH, angles)
    mcp = cmc + _flexed(rest - cmc, arch)

    # Bent fingers cannot be spread: the collateral ligaments tighten with flexion.
    splay = (splay + torch.deg2rad(constant(_SPLAY_REST_DEG, angles))) * flex.clamp(0, 1.5).cos()
    along = torch.stack([splay.sin(), splay.cos(), torch.zeros_like(splay)], -1)
    lean = torch.deg2rad(constant(LEAN_DEG, angles))
    lean = torch.stack([lean.sin(), torch.zeros_like(lean), lean.cos()], -1).expand_as(along)
    out = lean - (lean * along).sum(-1, keepdim=True) * along
    along = _flexed(along, arch)[:, :, None]
    out = _flexed(out / out.norm(dim=-1, keepdim=True), arch)[:, :, None]

    bend = torch.stack([flex, flex + pip, flex + pip + dip], -1)[..., None]
    direction = bend.cos() * along + bend.sin() * out
    bones = direction * (constant(BONES_MM[1:], angles) * shape.bones[:, 1:])[..., None]
    return cmc, mcp, mcp[:, :, None] + bones.cumsum(2), bend.cos() * out - bend.sin() * along


def _flexed(vector: Tensor, angle: Tensor) -> Tensor:
    """Rotate vectors (..., 3) about x, from y to z, by (...) radians."""
    x, y, z = vector.unbind(-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([x, y * cos - z * sin, y * sin + z * cos], -1)


def thumb_chain(angles: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """CMC, MCP, IP and tip (B, 4, 3) of the thumb, and the palmar directions (B, 3, 3)."""
    radial, palmar, mcp, ip = angles.unbind(-1)
    metacarpal = torch.stack(
        [radial.sin() * palmar.cos(), radial.cos() * palmar.cos(), palmar.sin()], -1
    )
    across = constant(THUMB_ACROSS, angles).expand_as(metacarpal)
    across = across - (across * metacarpal).sum(-1, keepdim=True) * metacarpal
    across = (across / across.norm(dim=-1, keepdim=True))[:, None]
    bend = torch.stack([torch.zeros_like(mcp), mcp, mcp + ip], -1)[..., None]
    direction = bend.cos() * metacarpal[:, None] + bend.sin() * across
    lengths = constant(BONES_MM[0], angles) * shape.bones[:, 0]
    bones = direction * lengths[..., None]
    base = (constant(THUMB_CMC_MM, angles) * shape.palm)[:, None]
    chain = torch.cat([base, base + bones.cumsum(1)], 1)
    return chain, bend.cos() * across - bend.sin() * metacarpal[:, None]
