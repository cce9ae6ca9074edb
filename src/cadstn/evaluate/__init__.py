"""Score predictions: metrics, the data sets' protocols, files in and a table out. NumPy only."""

from cadstn.evaluate.checks import FORMATS, Format
from cadstn.evaluate.metrics import (
    ACCURACY_MM,
    METRICS,
    Metric,
    Scores,
    acceleration_error,
    accuracy,
    jitter,
    joint_errors_mm,
    mean_error_mm,
    per_joint_error_mm,
    score,
)
from cadstn.evaluate.predictions import (
    load_predictions,
    read_joints_npz,
    read_joints_text,
)
from cadstn.evaluate.protocol import PROTOCOLS, Protocol, protocol
from cadstn.evaluate.report import format_scores, score_files
from cadstn.io.joints import lost_frames, write_joints_uvd

__all__ = [
    "ACCURACY_MM",
    "FORMATS",
    "METRICS",
    "PROTOCOLS",
    "Format",
    "Metric",
    "Protocol",
    "Scores",
    "acceleration_error",
    "accuracy",
    "format_scores",
    "jitter",
    "joint_errors_mm",
    "load_predictions",
    "lost_frames",
    "mean_error_mm",
    "per_joint_error_mm",
    "protocol",
    "read_joints_npz",
    "read_joints_text",
    "score",
    "score_files",
    "write_joints_uvd",
]
