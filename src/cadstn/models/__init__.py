"""The five networks of the method, the three compact ones, and their losses.

They map normalised crops to normalised joints and know no files, cameras or trainers.
"""

import warnings
from typing import Any

from cadstn.models.blocks import Lstm, LstmState, fuse
from cadstn.models.compact.networks import (
    Compact,
    CompactFusion,
    CompactOutputs,
    CompactSpatial,
    CompactTemporal,
    FrameOutputs,
    Memory,
    run_temporal,
)
from cadstn.models.config import CompactConfig, Config, NetConfig, PaperConfig
from cadstn.models.paper.baseline import Baseline, Sliced
from cadstn.models.paper.blocks import Drop, Masks
from cadstn.models.paper.cadstn import Cadstn, CadstnOutputs
from cadstn.models.paper.fusion import Fusion, Weights
from cadstn.models.paper.loss import half_squared, pose_distance, spatial_loss
from cadstn.models.paper.spatial import Spatial, SpatialOutputs, inference_state
from cadstn.models.paper.temporal import Temporal
from cadstn.models.slices import slice_volume

__all__ = [
    "Baseline",
    "Cadstn",
    "CadstnOutputs",
    "Compact",
    "CompactConfig",
    "CompactFusion",
    "CompactOutputs",
    "CompactSpatial",
    "CompactTemporal",
    "Config",
    "Drop",
    "FrameOutputs",
    "Fusion",
    "Lstm",
    "LstmState",
    "Masks",
    "Memory",
    "NetConfig",
    "PaperConfig",
    "Sliced",
    "Spatial",
    "SpatialOutputs",
    "Temporal",
    "Weights",
    "fuse",
    "half_squared",
    "inference_state",
    "pose_distance",
    "run_temporal",
    "slice_volume",
    "spatial_loss",
]


def __getattr__(name: str) -> Any:
    if name != "Look":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn("Look is now FrameOutputs", DeprecationWarning, stacklevel=2)
    return FrameOutputs
