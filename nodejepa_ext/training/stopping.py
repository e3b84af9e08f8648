"""Which epoch to keep, and when to stop, where no labels can say: by loss and effective rank."""

from __future__ import annotations

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


def label_free(state: TrainState, row: dict[str, float]) -> bool:
    """A KeepRule where labels cannot say. An evaluation is better if the loss has fallen on, or if
    the rank is higher at no higher loss; never if half the rank is lost. It goes by the state
    alone."""
    marks = evaluations(state.rows, state.cfg.latent)
    kept = kept_of(state, marks)
    return kept is None or better(marks[-1], kept, marks)


def patience(state: TrainState, row: dict[str, float]) -> None:
    """An EpochHook. StopTraining: of five evaluations in a row, none was kept."""
    if "effective_rank" not in row:
        return
    marks = evaluations(state.rows, state.cfg.latent)
    kept = kept_of(state, marks)
    if kept is not None and len(marks) - marks.index(kept) > PATIENCE:
        raise StopTraining


def kept_of(state: TrainState, marks: list[Evaluation]) -> Evaluation | None:
    """The one whose weights the state keeps."""
    return next((mark for mark in marks if mark.epoch == state.best.get("epoch")), None)


def better(now: Evaluation, kept: Evaluation, marks: list[Evaluation]) -> bool:
    """Whether an evaluation is to replace the one that is kept; marks: all so far."""
    least = PLATEAU * (marks[0].loss - min(m.loss for m in marks))
    if now.rank < COLLAPSED * max(m.rank for m in marks):
        return False
    fallen = kept.loss - now.loss
    return fallen > least or now.rank > kept.rank and fallen >= -least
