"""From a data set on disk to the paper's tables: train what is missing, predict, report.

Begin with `predict`, which turns a run or an exported network and a data set into joints.
"""

from cadstn.reproduce.files import read_predictions, write_predictions, write_truth
from cadstn.reproduce.predict import Predictions, predict
from cadstn.reproduce.predictor import Predictor, load_predictor

__all__ = [
    "Predictions",
    "Predictor",
    "load_predictor",
    "predict",
    "read_predictions",
    "write_predictions",
    "write_truth",
]
