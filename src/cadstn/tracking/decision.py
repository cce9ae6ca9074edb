"""Whether a detected place is a hand: what is known of it, and how a network weighs that.

Each network has scales of its own for presence and error, so the weights stand in its file
(`cadstn.tracking.network.Wants`); `cadstn.bench.decision` fits them.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

from cadstn.errors import CadstnError
from cadstn.io.whole import no_file, write_json

#: Log-odds that a further hand needs beside one that is seen.
MORE = 0.5
#: Log-odds of a hand that is detected so near to where one was followed some frames ago: less.
AGAIN, AGAIN_MM = -2.0, 250.0
#: What so much less than is needed speaks for after the first run is not read again. Of 214 hands
#: that were taken on choosing scenes all had within 2.5; of other candidates a tenth has (LOG.md).
HOPELESS = 6.0


def logit(probability: float) -> float:
    """Log-odds, bounded where the probability is 0 or 1."""
    likely = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(likely / (1 - likely))


class Evidence(NamedTuple):
    """What is known of a place that may be a hand."""

    score: float  # the detector's, in (0, 1)
    presence: float  # the network's, in (0, 1)
    error_scale_mm: float  # the network's, mean over joints

    def numbers(self) -> tuple[float, float, float]:
        """Both probabilities as logits, and the logarithm of the error scale."""
        return logit(self.score), logit(self.presence), math.log(self.error_scale_mm)

    def __str__(self) -> str:
        """As a reason why it is none."""
        return (
            f"score {self.score:.2f}, presence {self.presence:.2f}, "
            f"error scale {self.error_scale_mm:.0f} mm"
        )


class Decision(NamedTuple):
    """Weights of the numbers of an `Evidence`; the sum is over 0 for a hand."""

    score: float
    presence: float
    error_scale: float
    bias: float

    def log_odds(self, evidence: Evidence) -> float:
        """How surely it is a hand: a first one over 0, a further one over `MORE`."""
        score, presence, scale = evidence.numbers()
        return self.score * score + self.presence * presence + self.error_scale * scale + self.bias

    def check(self) -> None:
        """Refuse what are no numbers.

        Raises:
            ValueError: naming the field.
        """
        for name, value in self._asdict().items():
            if type(value) not in (float, int) or not math.isfinite(value):
                raise ValueError(f"decision's {name} is {value!r}")


DEFAULT = Decision(1.36, 0.57, -2.42, 4.8)
"""Of files that hold none, and where fits begin: chosen by hand for the weights of b13ce41."""


def read_decision(path: Path) -> Decision:
    """Read what `write_decision` wrote.

    Raises:
        CadstnError: if the file is missing or holds something else.
    """
    hint = "write one with 'cadstn bench alarms --fit-decision FILE'"
    if not path.is_file():
        raise CadstnError(no_file(path), where=path, hint=hint)
    try:
        weights = json.loads(path.read_bytes())  # as bytes, with or without a mark
        if not isinstance(weights, dict) or set(weights) != set(Decision._fields):
            raise ValueError("it is to hold " + ", ".join(Decision._fields))
        decision = Decision(**weights)
        decision.check()
    except (OSError, ValueError, ArithmeticError, RecursionError) as error:
        raise CadstnError(f"no decision on new hands ({error})", where=path, hint=hint) from None
    return decision


def write_decision(decision: Decision, path: Path) -> None:
    """Write a decision as JSON."""
    write_json(path, decision._asdict(), indent=2)
