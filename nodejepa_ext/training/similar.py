"""Neighbours of similar features in graphs too large to compare all pairs of nodes.

Apart from `run_full.join_neighbours`, which is exact and takes time N^2: here pynndescent finds
nearly the same ones (nearest-neighbour descent, Dong, Moses and Li 2011), if it is installed.
Shapes: N nodes, F features, k neighbours.
"""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.training.checkpoints import verify
from run_full import Config, Graph, RunError

FILE = "neighbours.safetensors"  # of a run: nodes [N, k] int32, -1 where fewer are alike at all
PACKAGE = "pynndescent"
SEED = 0  # of the search, on one thread: the same versions find the same


def installed() -> bool:
    return find_spec(PACKAGE) is not None


def large(data: Data) -> bool:
    """Whether all pairs of nodes are too many by default."""
    return len(data.x) > run_full.MOST_JOINED


def find(data: Data, k: int) -> Tensor:
    """[N, k] int32: for each node others most alike in features, as `run_full.comparable` compares
    them, -1 in place of one not alike at all. ImportError: pynndescent is not installed."""
    import pynndescent

    rows = run_full.comparable(data.x).cpu().numpy()  # dense: as CSR it took twice as long
    n = len(rows)
    given = {"metric": "cosine", "random_state": SEED, "n_jobs": 1}
    search = pynndescent.NNDescent(rows, n_neighbors=min(k + 1, n), **given)
    found, distance = search.neighbor_graph  # [N, k + 1], mostly each node itself first
    own = found == np.arange(n)[:, None]
    worst = np.where(own, np.inf, distance)
    order = np.argsort(worst, axis=1, kind="stable")[:, :k]
    alike = np.take_along_axis(worst, order, 1) < 1 - 1e-6
    alike &= (rows != 0).any(1, keepdims=True)  # the cosine of two rows of zeros is no number
    nodes = np.where(alike, np.take_along_axis(found, order, 1), -1)
    return torch.from_numpy(nodes.astype(np.int32))


def joined(data: Data, cfg: Config, device: torch.device | str = "cpu") -> Data:
    """data on the cpu, with edges to cfg.neighbours of each node: those in data.similar [N, k],
    else what `find` finds in a large graph, else `run_full.join_neighbours`."""
    if "similar" not in data and not (large(data) and installed()):
        return run_full.join_neighbours(data, cfg.neighbours, cfg.neighbour_weight, device)
    nodes = data.similar if "similar" in data else find(data, cfg.neighbours)
    rows, place = (nodes >= 0).nonzero().t()
    added = torch.stack([rows, nodes[rows, place].long()])
    each = torch.full((added.shape[1],), cfg.neighbour_weight / cfg.neighbours)
    edges = torch.cat([data.edge_index, added], 1)
    weight = torch.cat([run_full.edge_weights(data), each])
    return Data(x=data.x, edge_index=edges, edge_weight=weight)


def graph_of(data: Data, cfg: Config) -> Graph:
    """`Graph.of`, its errors, with the neighbours of `joined`."""
    if not cfg.neighbours or not ("similar" in data or (large(data) and installed())):
        return Graph.of(data, cfg)
    graph = Graph.of(joined(data.cpu(), cfg), replace(cfg, neighbours=0))
    return replace(graph, cfg=cfg, data=data.cpu())


# Kept with a run, for another version may find others


def found_for(data: Data, cfg: Config) -> Data:
    """data, with the neighbours of a large graph in `similar`, so that they are sought once."""
    if cfg.neighbours and large(data) and installed() and "similar" not in data:
        data = copy.copy(data)  # not its tensors, which may be mapped
        data.similar = find(data, cfg.neighbours)
    return data


def packed(data: Data) -> bytes:
    """What goes into `FILE` of a run; b"": its neighbours were not sought here."""
    if "similar" not in data:
        return b""
    payload: bytes = safetensors.torch.save({"nodes": data.similar.contiguous()})
    return payload


def about(data: Data) -> dict[str, Any]:
    """What run.json says of `packed`, if anything."""
    if not (payload := packed(data)):
        return {}
    by = f"{PACKAGE} {version(PACKAGE)}"
    return {"neighbours": {"sha256": hashlib.sha256(payload).hexdigest(), "by": by}}


def recall(folder: Path, meta: dict[str, Any], data: Data) -> None:
    """Puts what a run has kept into data.similar; nothing where the file is gone, which is sought
    again. RunError 4: it is not what was written."""
    path, kept = folder / FILE, meta.get("neighbours")
    if kept is None or not path.exists():
        return
    payload = verify(path, kept["sha256"])
    try:
        nodes = safetensors.torch.load(payload)["nodes"]
        sound = nodes.dtype == torch.int32 and nodes.shape == (len(data.x), nodes.shape[-1])
        low, high = map(int, nodes.aminmax())
    except (safetensors.SafetensorError, KeyError, RuntimeError, IndexError) as error:
        raise RunError(f"{path}: {error}", 4) from None
    if not sound or low < -1 or high >= len(data.x):
        raise RunError(f"{path}: expected nodes [{len(data.x)}, k] int32, -1 for none", 4)
    data.similar = nodes
