"""The epoch to keep where no labels can say: by the loss and the effective rank alone."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

from run_full import StopTraining, TrainState

PATIENCE = 5  # evaluations without a better epoch
PLATEAU = 0.01  # of what the loss fell in all: less is no fall
COLLAPSED = 0.5  # of the highest rank seen: less is never kept


class Evaluation(NamedTuple):
    """Of an epoch at which the embedding was looked at."""

    epoch: int
    loss: float  # mean since the evaluation before
    rank: float  # effective rank / D


def evaluations(rows: list[dict[str, float]], width: int) -> list[Evaluation]:
    """Of the rows of a `TrainState`, whose embedding has `width` columns."""
    found, losses = [], list[float]()
    for row in rows:
        losses.append(row["loss"])
        if "effective_rank" in row:
            mean = math.fsum(losses) / len(losses)
            found.append(Evaluation(int(row["epoch"]), mean, row["effective_rank"] / width))
            losses = []
    return found


def label_free(state: TrainState, row: dict[str, float]) -> None:
    """An EpochHook: keeps the epoch to use where labels cannot say. An evaluation is better if the
    loss has fallen on, or if the rank is higher at no higher loss; never if half the rank is lost.
    StopTraining: none was better for five evaluations. It goes by the state alone."""
    if "effective_rank" not in row:
        return
    cfg = state.encoder.cfg
    marks = evaluations(state.rows, cfg.out * (1 + cfg.own_features))
    now, kept = marks[-1], [m for m in marks if m.epoch == state.best.get("epoch")]
    if not kept or better(now, kept[0], marks):
        weights = copy.deepcopy(state.encoder.state_dict())
        state.best = {"epoch": now.epoch, "val": -1.0, "weights": weights}
    elif len(marks) - marks.index(kept[0]) > PATIENCE:
        raise StopTraining


def better(now: Evaluation, kept: Evaluation, marks: list[Evaluation]) -> bool:
    """Whether an evaluation is to replace the one that is kept; marks: all so far."""
    least = PLATEAU * (marks[0].loss - min(m.loss for m in marks))
    if now.rank < COLLAPSED * max(m.rank for m in marks):
        return False
    fallen = kept.loss - now.loss
    return fallen > least or now.rank > kept.rank and fallen >= -least
