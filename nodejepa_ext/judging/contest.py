"""One judge for every method of a comparison: the same splits, the same probe, the same pairs.

Apart from tasks.py, which scores test nodes: here nodes are judged by development splits, in which
public test nodes have neither a class nor a part, and on the public split only where `final` asks.
A method may offer several embeddings; validation nodes, or pairs, choose among them, as they choose
C, k and scorer. Shapes: N nodes, D latent dimensions, k neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from nodejepa_ext.graphs.archives import MASKS
from nodejepa_ext.judging import tasks
from nodejepa_ext.judging.development import development_accuracy, development_splits
from nodejepa_ext.judging.splits import node_splits
from run_full import collapse, linear_probe, score_test

Report = dict[str, Any]

REVISION = 1  # of what is measured here; bump when figures change by more than rounding
SAMPLE, NEAREST = 100, 10  # nodes whose neighbours say how stable an embedding is, and how many


def choices(settings: Report) -> list[Report]:
    """Every way to choose one value of each list among the settings; the first values first."""
    lists = {name: value for name, value in settings.items() if isinstance(value, list)}
    drawn = itertools.product(*lists.values())
    return [settings | dict(zip(lists, values, strict=True)) for values in drawn]


def official(data: Data) -> bool:
    """Whether there is one official split, with nodes to train, choose and test on."""
    masks = [data.get(part) for part in MASKS]
    return all(mask is not None and mask.dim() == 1 for mask in masks)


def why_not(task: str, data: Data) -> str:
    """Why the graph does not permit a task; "" if it does."""
    try:
        if task == "link":
            tasks.split_edges(data)
        else:
            development_splits(data, 1)
    except ValueError as error:
        return str(error)
    return ""


def development_data(data: Data) -> Data:
    """y [N], -1 at public test nodes, and the masks [N, S] of S development splits."""
    parts = development_splits(data)
    masks = {name: torch.stack([part[name] for part in parts], 1) for name in MASKS}
    return Data(y=parts[0].y, num_nodes=len(parts[0].y), **masks)


def judge_nodes(
    embeddings: Sequence[Tensor], data: Data, wanted: Sequence[str], final: bool
) -> Report:
    """Of embeddings [N, D], a method's choices, the first its own: linear, knn (means over splits)
    and nmi, ari, silhouette, of those tasks wanted; meters of collapse; neighbours [SAMPLE, k].
    final: val and test on the official split, and test_knn. Clusters, meters and neighbours are of
    the first: no label may choose there."""
    first = embeddings[0]
    found: Report = {**collapse(first), "neighbours": neighbours(first)}
    if "linear" in wanted:
        found |= means("linear", [development_accuracy(z, data)["rows"] for z in embeddings])
    if "knn" in wanted or "cluster" in wanted:
        known = development_data(data)
    if "knn" in wanted:
        ks = tasks.few(node_splits(known))
        found |= means("knn", [tasks.knn(z, known, ks)["rows"] for z in embeddings])
    if "cluster" in wanted:
        report = tasks.cluster(first, Data(y=known.y, num_nodes=len(known.y)), seeds=1)
        measures = ("nmi", "ari", "silhouette")
        found |= {name: report[name]["mean"] for name in measures if name in report}
    return found | (final_figures(embeddings, data, wanted) if final else {})


def means(name: str, choices: Sequence[Sequence[Report]]) -> Report:
    """{name, name_std, name_chosen}: mean and standard deviation over splits of the accuracy of
    what the split's validation nodes prefer among a method's choices, the first if equal, and how
    often each was preferred. choices: of each, its rows {split, val, test}."""
    scores, preferred = [], [0] * len(choices)
    for rows in zip(*choices, strict=True):
        best = max(range(len(rows)), key=lambda i: rows[i]["val"])
        preferred[best] += 1
        scores.append(rows[best]["test"])
    spread = float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return {name: float(np.mean(scores)), f"{name}_std": spread, f"{name}_chosen": preferred}


def final_figures(embeddings: Sequence[Tensor], data: Data, wanted: Sequence[str]) -> Report:
    """Test nodes are counted here, once a task; right: which of them the probe has, as `packed`."""
    found: Report = {}
    if "linear" in wanted:
        best = max((linear_probe(z, data) for z in embeddings), key=lambda result: result.val)
        right = (best.predicted == data.y.numpy())[data.test_mask.numpy()]  # [test nodes]
        found |= {"val": best.val, "test": score_test(best), "right": packed(right)}
    if "knn" in wanted:
        rows = [tasks.knn(z, data, splits=None)["rows"] for z in embeddings]
        found["test_knn"] = means("knn", rows)["knn"]
    return found


def packed(right: NDArray[np.bool_]) -> str:
    """[n] bool as "n:" and hexadecimal digits, eight nodes a byte."""
    return f"{len(right)}:{np.packbits(right).tobytes().hex()}"


def unpacked(text: str) -> NDArray[np.bool_]:
    """[n] bool of `packed`. ValueError: it is not of its making."""
    count, _, digits = text.partition(":")
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(digits), np.uint8))
    if not count.isdecimal() or len(bits) != -(-int(count) // 8) * 8:
        raise ValueError(f"{text[:40]!r}: expected a number, a colon and that many bits")
    return bits[: int(count)].astype(bool)


def judge_links(embeddings: Sequence[Tensor], split: tasks.LinkSplit) -> Report:
    """auc, ap and hits@K of the embedding that validation pairs prefer, and its scorer."""
    reports = [tasks.link(z, split) for z in embeddings]
    best = max(reports, key=lambda report: report["val"])
    return {name: value for name, value in best.items() if name != "val"}


def neighbours(z: Tensor) -> list[list[int]]:
    """[SAMPLE, NEAREST], or fewer in a small graph: of nodes that depend on N alone, those of
    largest cosine in z [N, D]. Neighbours are what cosine search returns, know no rotation, scale
    or width, and take kilobytes, where kernel alignment would keep a matrix."""
    unit, n = F.normalize(z), len(z)
    some = torch.from_numpy(np.sort(np.random.default_rng(n).permutation(n)[:SAMPLE]))
    cosine = unit[some] @ unit.t()  # [SAMPLE, N]
    cosine[torch.arange(len(some)), some] = -torch.inf
    return cosine.topk(min(NEAREST, n - 1)).indices.tolist()


def overlap(found: Sequence[list[list[int]]]) -> float | None:
    """Stability over seeds: the mean share of neighbours that two embeddings have in common, over
    all pairs of what `neighbours` said of them; None of fewer than two."""
    pairs = list(itertools.combinations(found, 2))
    shares = [
        len({*a} & {*b}) / max(len(a), 1)
        for one, other in pairs
        for a, b in zip(one, other, strict=True)
    ]
    return float(np.mean(shares)) if shares else None
