"""The five networks of the method, the three compact ones, and their losses.

They map normalised crops to normalised joints and know no files, cameras or trainers.
"""

from cadstn.models.baseline import Baseline, Sliced
from cadstn.models.blocks import Dropout, Lstm, LstmState
from cadstn.models.cadstn import Cadstn, CadstnOutputs
from cadstn.models.compact import (
    Compact,
    CompactFusion,
    CompactOutputs,
    CompactSpatial,
    CompactTemporal,
    Look,
    Memory,
    run_temporal,
)
from cadstn.models.config import NetConfig
from cadstn.models.fusion import Fusion, fuse
from cadstn.models.loss import half_squared, pose_distance, spatial_loss
from cadstn.models.slices import slice_volume
from cadstn.models.spatial import Spatial, SpatialOutputs, inference_state
from cadstn.models.temporal import Temporal

__all__ = [
    "Baseline",
    "Cadstn",
    "CadstnOutputs",
    "Compact",
    "CompactFusion",
    "CompactOutputs",
    "CompactSpatial",
    "CompactTemporal",
    "Dropout",
    "Fusion",
    "Look",
    "Lstm",
    "LstmState",
    "Memory",
    "NetConfig",
    "Sliced",
    "Spatial",
    "SpatialOutputs",
    "Temporal",
    "fuse",
    "half_squared",
    "inference_state",
    "pose_distance",
    "run_temporal",
    "slice_volume",
    "spatial_loss",
]
