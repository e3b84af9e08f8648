# ---
# jupyter:
#   jupytext:
#     text_representation:
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Node-JEPA, with pictures
#
# A graph goes in, embeddings come out, and three pictures say what they are worth. It takes about
# half a minute on one core. As a notebook: `jupytext --to ipynb examples/tutorial.py`, or open
# this file with jupytext in Jupyter.
#
# Everything here looks at training and validation nodes. Test nodes are for a last table, not for
# a tutorial.

# %%
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

import run_full

torch.set_num_threads(1)
data = run_full.load_graph("cora")
edges = data.edge_index.shape[1] // 2
words = int(data.x.count_nonzero())
print(f"{data.num_nodes} nodes, {edges} edges, {data.x.shape[1]} features")
print(f"{words / data.x.numel():.1%} of the features are not zero")
print(f"{int(data.train_mask.sum())} training and {int(data.val_mask.sum())} validation nodes")
known = data.train_mask | data.val_mask  # [N] bool: classes of other nodes are not looked at

# %% [markdown]
# ## Train
#
# The preset `best`, at a quarter of its width. `Config` is frozen: `replace` makes another one. A
# hook sees a row an epoch; every third epoch the embedding is judged on validation nodes, and the
# meters of collapse are read.

# %%
cfg = replace(run_full.preset("best", "cora"), hidden=256, out=128, eval_every=3, seed=0)
graph = run_full.Graph.of(data, cfg)  # with each node's 20 neighbours in features
rows = []


def keep_row(state, row):
    """A run_full.EpochHook."""
    rows.append(dict(row))


result = run_full.train(cfg, data, graph=graph, on_epoch=keep_row)
print(f"{cfg.epochs} epochs; validation accuracy of the epoch that was kept: {result.val:.1%}")

# %% [markdown]
# ## The curve, and the collapse meters
#
# An embedding has collapsed when all nodes lie in one direction: the mean cosine between nodes
# goes to 1. Effective rank says in how many directions they spread around their mean. Look at
# both: a collapsed embedding may have a high rank.

# %%
judged = [row for row in rows if "val" in row]
epochs = [row["epoch"] for row in judged]
figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
top.plot(epochs, [100 * row["val"] for row in judged], marker="o", color="C0")
top.set_ylabel("validation accuracy, %")
right = top.twinx()
right.plot([row["epoch"] for row in rows], [row["loss"] for row in rows], color="C7")
right.set_ylabel("loss (grey)")
bottom.plot(epochs, [row["effective_rank"] for row in judged], marker="o", color="C2")
bottom.set_ylabel(f"effective rank of {cfg.out} (green)")
bottom.set_xlabel("epoch")
right = bottom.twinx()
right.plot(epochs, [row["cosine"] for row in judged], marker="o", color="C3")
right.set_ylim(0, 1)
right.set_ylabel("mean cosine (red)")
plt.show()

# %% [markdown]
# ## A map
#
# The first two principal components of the embedding, rows of unit length, beside those of the
# raw features. Colours are classes of training and validation nodes, all others are grey. Classes
# took no part in the loss: they chose the epoch, and nothing else.


# %%
def plane(z):
    """z [N, D] -> the first two principal components of its rows at unit length, [N, 2]."""
    unit = F.normalize(z.double())
    unit = unit - unit.mean(0)
    _, directions = torch.linalg.eigh(unit.t() @ unit)  # ascending
    return unit @ directions[:, -2:].flip(1)


figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
maps = {"raw features": plane(data.x), "embedding": plane(result.z)}
for axis, (name, at) in zip(axes, maps.items(), strict=True):
    axis.scatter(*at[~known].t(), c="lightgrey", s=3, linewidths=0)
    axis.scatter(*at[known].t(), c=data.y[known], s=9, cmap="tab10", linewidths=0)
    axis.set_title(name)
    axis.set_xticks([])
    axis.set_yticks([])
plt.show()

# %% [markdown]
# ## The neighbours of a node
#
# The nodes of largest cosine, among training and validation nodes. How often do they have the
# class of the node? For the embedding, for the encoder before training, and for raw features. The
# untrained encoder sees the same graph: what it reaches is the graph's work, not training's.

# %%
untrained = run_full.train(replace(cfg, epochs=0), data, graph=graph)
y = data.y[known]


def nearest(z, k=5):
    """z [N, D] -> the k known nodes of largest cosine to each known node, as places in y."""
    unit = F.normalize(z[known])
    return (unit @ unit.t()).fill_diagonal_(-2).topk(k).indices


first = nearest(result.z)[0]
print(f"a node of class {int(y[0])}: its five nearest are of classes {y[first].tolist()}")

embeddings = {"raw features": data.x, "untrained": untrained.z, "embedding": result.z}
shares, accuracies = [], []
for name, z in embeddings.items():
    shares.append(float((y[nearest(z)] == y[:, None]).double().mean()))
    accuracies.append(run_full.linear_probe(z, data).val)
    print(f"{name:13} same class {shares[-1]:.1%}, probe {accuracies[-1]:.1%}")

figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
places = range(len(embeddings))
axis.barh(
    [p + 0.2 for p in places], [100 * a for a in accuracies], 0.38, label="probe, validation nodes"
)
axis.barh(
    [p - 0.2 for p in places], [100 * s for s in shares], 0.38, label="5 nearest of its class"
)
axis.set_yticks(list(places), list(embeddings))
axis.set_xlim(0, 100)
axis.set_xlabel("%")
figure.legend(loc="outside upper center", ncols=2)
plt.show()

# %% [markdown]
# One seed is one seed. The table of many, with intervals, is `nodejepa-ext table`; whether a
# change of yours helps is a question for `nodejepa-ext ablate`, which pairs it with the reference
# over seeds.
