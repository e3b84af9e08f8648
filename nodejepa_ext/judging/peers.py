"""Other methods, each a function from a graph to an embedding, with the settings it is known by.

Apart from baselines.py, which has what several verbs hold ours against: here is all that `compare`
sets beside it. A peer sees x [N, F] as our encoder gets it, edges in both directions and their
weights, if any; no labels and no masks. It is embedded by its last epoch, as ours is.
Shapes: N nodes, F features, D latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data

import run_full
from nodejepa_ext.judging.baselines import fastrp
from nodejepa_ext.judging.draws import seeded
from nodejepa_ext.judging.encoders import cca_ssg, dgi, vgae
from nodejepa_ext.training import similar
from nodejepa_ext.training.settings import preset_for
from run_full import GRAPHS, Config

Settings = dict[str, Any]
HOPS = [2, 1, 3, 5, 8]  # of SGC, the published first
LIBRARY = "graphssl"  # of the extra `peers`


class Subject(NamedTuple):
    """What settings are decided by: an embedded graph's name, or "", the graph, and ours on it."""

    name: str
    data: Data
    structural: bool  # x is made of the edges
    ours: Config


class Peer(NamedTuple):
    """A row of the comparison. settings: of a subject -> keyword arguments of `embed`, or the
    reason why there is no such row. A setting that is a list is a choice, which the judge's
    validation nodes make, as they choose C. embed(data, seed, **settings) -> z [N, D] on the cpu.
    Bump `revision` when the numbers change by more than rounding."""

    name: str
    source: str
    settings: Callable[[Subject], Settings | str]
    embed: Callable[..., Tensor]
    seeded: bool = True  # False: the same z whatever the seed
    revision: int = 1


def subject_of(name: str, data: Data, structural: bool) -> Subject:
    """name: as in `Subject`. Ours is `best` on an embedded graph, `auto` on any other."""
    preset = "best" if name in GRAPHS else "auto"
    ours = preset_for(preset, data, name, structural=structural)[0]
    return Subject(name, data, structural, ours)


# Ours


def of_config(cfg: Config) -> Settings:
    """All of a Config but what the seed is; one evaluation, at the end."""
    settings = asdict(replace(cfg, eval_every=0))
    del settings["seed"]
    return settings


def of_preset(name: str, subject: Subject) -> Settings | str:
    cfg = preset_for(name, subject.data, subject.name, structural=subject.structural)[0]
    if cfg.encoder == "gat" and subject.data.edge_weight is not None:
        return f"the nearest settings of {name} are of gat, which takes no edge weights"
    return of_config(cfg)


def untrained(subject: Subject) -> Settings:
    return of_config(replace(subject.ours, epochs=0, neighbours=0))


def untrained_joined(subject: Subject) -> Settings | str:
    if not subject.ours.neighbours:
        return UNJOINED
    return of_config(replace(subject.ours, epochs=0))


def node_jepa(data: Data, seed: int, **config: Any) -> Tensor:
    """`run_full.train` by a Config of these fields, without labels: the last epoch's z [N, D].
    RunError 7: it diverged."""
    bare = Data(x=data.x, edge_index=data.edge_index, edge_weight=data.edge_weight)
    cfg = Config(**config, seed=seed)
    return run_full.train(cfg, bare, graph=similar.graph_of(bare, cfg)).z


# On x and the graph as they came, or as our encoder takes them in

UNJOINED = "our settings join no neighbours there"
UNCHANGED = "our encoder takes x and the edges as they came"


def joined(subject: Subject) -> Settings | str:
    cfg = subject.ours
    if not cfg.neighbours:
        return UNJOINED
    return {"neighbours": cfg.neighbours, "neighbour_weight": cfg.neighbour_weight}


def sgc_joined(subject: Subject) -> Settings | str:
    """Of SGC on x and edges as our encoder takes them in."""
    cfg = subject.ours
    if not cfg.neighbours and cfg.transform == "none":
        return UNCHANGED
    near = {"neighbours": cfg.neighbours, "neighbour_weight": cfg.neighbour_weight}
    return {"hops": HOPS, "transform": cfg.transform, **near}


def sgc(data: Data, seed: int, hops: int, **fields: Any) -> Tensor:
    """x [N, F] after so many steps of D^-1/2 (A + I) D^-1/2; fields: of Config."""
    graph = similar.graph_of(data, Config(device="cpu", **fields))
    return graph.average(graph.x.to_dense(), hops)


def fastrp_on(data: Data, seed: int, neighbours: int = 0, neighbour_weight: float = 1.0) -> Tensor:
    """`fastrp` with its defaults, z [N, 512]."""
    if neighbours:
        bare = Data(x=data.x, edge_index=data.edge_index, edge_weight=data.edge_weight).cpu()
        cfg = Config(neighbours=neighbours, neighbour_weight=neighbour_weight)
        data = similar.joined(bare, cfg)
    return fastrp(data, seed=seed)


def raw(data: Data, seed: int) -> Tensor:
    return data.x.cpu().to_dense().float()


def fastrp_beside_raw(data: Data, seed: int) -> Tensor:
    """[N, 512 + F]: both as rows of unit length."""
    return torch.cat([F.normalize(fastrp(data, seed=seed)), F.normalize(raw(data, seed))], 1)


# Of libraries and papers


def fixed(default: Settings, **graphs: Settings) -> Callable[[Subject], Settings]:
    """The same for all graphs, but for those named."""
    return lambda subject: default | graphs.get(subject.name, {})


def of_library(subject: Subject) -> Settings | str:
    """The shared protocol of graphssl's own benchmark, and which version of it there is."""
    if find_spec(LIBRARY) is None:
        return "needs graphssl: pip install 'nodejepa[peers]'"
    return GRAPHSSL | {"version": version(LIBRARY)}


def library_model(model: str) -> Callable[..., Tensor]:
    """graphssl's model of that class name, by its own trainer."""

    def embed(data: Data, seed: int, **settings: Any) -> Tensor:
        """z [N, D]; settings: of `GRAPHSSL`."""
        from graphssl import models
        from graphssl.training import DINOTrainer

        s = settings
        encoder = {"name": "gcn", "hidden_dim": s["hidden"], "num_layers": s["layers"]}
        views = [{"name": "edge_drop", "p": s["edge"]}, {"name": "feat_mask", "p": s["feat"]}]
        config = {"encoder": encoder | {"norm_type": "batch", "pool": False}, "augment": views}
        graph = Data(x=data.x.to_dense().float(), edge_index=data.edge_index)
        with seeded(seed):
            net = getattr(models, model)(config, in_channels=graph.x.shape[1])
            weights = net.student_parameters()
            adamw = torch.optim.AdamW(weights, lr=s["lr"], weight_decay=s["weight_decay"])
            trainer = DINOTrainer(grad_clip_norm=None, device=graph.x.device)
            trainer.train(net, [graph], adamw, num_epochs=s["epochs"])
        with torch.no_grad():
            return net.eval()(graph).cpu()

    return embed


GRAPHSSL: Settings = dict(
    hidden=256, layers=2, edge=0.5, feat=0.2, lr=5e-4, weight_decay=1e-5, epochs=300
)
CCA_SSG: Settings = dict(hidden=512, layers=2, balance=1e-3, feat=0.1, edge=0.4, lr=1e-3, epochs=50)
PUBLISHED_CCA_SSG = fixed(
    CCA_SSG,
    citeseer=dict(layers=1, balance=5e-4, feat=0.0, epochs=20),
    pubmed=dict(feat=0.3, edge=0.5, epochs=100),
)
DGI: Settings = dict(hidden=512, lr=1e-3, epochs=300)
VGAE: Settings = dict(hidden=32, out=16, lr=1e-2, epochs=200)
BENCHMARK = "graphssl, benchmarks/run_benchmark.py: --encoder gcn"
PAPER_SGC = "Wu et al. 2019, 2 hops; others where validation nodes prefer them"
PAPER_FASTRP = "Chen et al. 2019, algorithm 1, the authors' weights"
OURS_GRAPH = ", on the graph with our neighbours"
OURS_INPUT = ", on what our encoder takes in: x transformed, neighbours joined"

PEERS: tuple[Peer, ...] = (
    Peer(
        "ours",
        "best; auto on a graph of one's own",
        lambda subject: of_config(subject.ours),
        node_jepa,
    ),
    Peer("card", "the published card", lambda subject: of_preset("card", subject), node_jepa),
    Peer(
        "bgrl",
        "Thakoor et al. 2022; one recipe, chosen by development accuracy (ablations/one_recipe)",
        lambda subject: of_preset("bgrl", subject),
        node_jepa,
    ),
    Peer(
        "cca-ssg",
        "Zhang et al. 2021; hengruizhang98/CCA-SSG, README.md; of Cora on other graphs",
        PUBLISHED_CCA_SSG,
        cca_ssg,
    ),
    Peer(
        "dgi",
        "Velickovic et al. 2019; pyg-team/pytorch_geometric, examples/infomax_transductive.py",
        fixed(DGI),
        dgi,
    ),
    Peer("vgae", "Kipf and Welling 2016, section 3", fixed(VGAE), vgae),
    Peer("vicreg", BENCHMARK, of_library, library_model("VICReg")),
    Peer("graphcl", BENCHMARK, of_library, library_model("GraphCL")),
    Peer("barlow-twins", BENCHMARK, of_library, library_model("BarlowTwins")),
    Peer("sgc", PAPER_SGC, fixed({"hops": HOPS}), sgc, seeded=False),
    Peer("sgc-joined", PAPER_SGC + OURS_INPUT, sgc_joined, sgc, seeded=False),
    Peer("untrained", "our encoder, 0 epochs, on the graph as it came", untrained, node_jepa),
    Peer("untrained-joined", "our encoder, 0 epochs" + OURS_GRAPH, untrained_joined, node_jepa),
    Peer("fastrp", PAPER_FASTRP, fixed({}), fastrp_on),
    Peer("fastrp-joined", PAPER_FASTRP + OURS_GRAPH, joined, fastrp_on),
    Peer("raw", "the features", fixed({}), raw, seeded=False),
    Peer(
        "fastrp-raw", PAPER_FASTRP + "; beside x, rows of unit length", fixed({}), fastrp_beside_raw
    ),
)
