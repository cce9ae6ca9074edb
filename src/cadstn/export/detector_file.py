"""The detector as an ONNX graph: a reduced frame in, a list of hands out."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from cadstn.errors import CadstnError
from cadstn.export.compact import folded
from cadstn.models.detector import STRIDE, Detector, cell_depth, detector_input

MOST = 8
"""Places that the graph gives, the surest first."""


class DetectorGraph(nn.Module):
    """The detector with its input's preparation and the choice of the surest places.

    Args:
        model: whose weights are taken; normalisation goes into the convolutions.
    """

    def __init__(self, model: Detector) -> None:
        super().__init__()
        self.model = folded(model)

    def forward(self, depth: Tensor, focal: Tensor) -> Tensor:
        """Map reduced frames (B, H, W) mm and focal lengths (B,) px to (B, 8, 8) hands.

        A hand is score, column, row, depth in mm, size over the mean hand's, direction right and
        down in the image, and the probability of a left hand.
        """
        out = self.model(detector_input(depth, focal))
        heat = out.heat.sigmoid()
        # A centre's neighbours are the same hand's.
        most = functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]
        heat = torch.where(heat < most, 0.0, heat)
        score, place = heat.flatten(1).topk(MOST, 1)
        columns = torch.arange(heat.shape[2]).float().expand_as(heat)
        rows = torch.arange(heat.shape[1]).float()[:, None].expand_as(heat)
        fields = torch.cat(
            [
                out.offset, out.depth[:, None], out.size[:, None], out.direction,
                out.left[:, None], cell_depth(depth)[:, None], columns[:, None], rows[:, None],
            ],
            1,
        )  # fmt: skip
        picked = fields.flatten(2).gather(2, place[:, None].expand(-1, fields.shape[1], -1))
        right, down, deeper, size, across, along, left, base, column, row = picked.unbind(1)
        middle = (STRIDE - 1) / 2
        column, row = (column + right) * STRIDE + middle, (row + down) * STRIDE + middle
        z = base * deeper.exp()
        hands = [score, column, row, z, size.exp(), across, along, left.sigmoid()]
        return torch.stack(hands, 2)


def detector_graph(weights: Mapping[str, Tensor]) -> DetectorGraph:
    """The graph of a trained detector.

    Raises:
        CadstnError: if the weights are not a detector's.
    """
    model = Detector()
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CadstnError(f"not a detector's weights ({str(error).splitlines()[0]})") from None
    return DetectorGraph(model)
