"""Several processes that train together, through torch.distributed, on one host or on many.

Apart from run_full.py, which has the only training loop: here each process, a rank, trains on its
own subgraph of a step, and one hook before the optimizer's step takes the means over ranks of
gradients and of batch norm's running statistics, so that weights stay equal bit for bit. What a
rank draws follows from the seed, the step and the rank, so that the checkpoints of rank 0 are all
that a resume needs. To evaluate, every rank embeds a share of the nodes, and rank 0 alone judges,
while the others wait. What ranks tell one another is JSON and safetensors; nothing is unpickled.
Shapes: N nodes, B nodes of a subgraph.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch_geometric.data import Data

import run_full
from nodejepa_ext import __version__
from nodejepa_ext.graphs.source import Subject
from nodejepa_ext.parts.choice import Parts
from nodejepa_ext.training import batches, similar
from nodejepa_ext.training.batches import Rows
from nodejepa_ext.training.checkpoints import pack, unpack
from nodejepa_ext.training.claim import FORMAT
from nodejepa_ext.training.memory import free_bytes
from nodejepa_ext.training.ranks import Alone, minutes, number
from run_full import (
    Config,
    Embedder,
    EpochHook,
    Graph,
    Result,
    RunError,
    Sampler,
    StopTraining,
    TrainState,
)

PATIENCE = 5.0  # seconds in which rank 0 says what ended another
LAST = 10.0  # seconds that whoever hosts the store stays for others to hear of it
DEVICES = ("auto", "cpu", "cuda")


class Lost(RunError):
    """Another rank has ended, or is silent."""


class Group(Alone):
    """This process among those that train together."""

    def __init__(
        self, store: PrefixStore, rank: int, size: int, asked: Callable[[], int], hosts: bool
    ) -> None:
        """Of torch's process group, which there is already; store: for what ended a rank; hosts:
        whether it is in this process, and ends with it."""
        super().__init__(asked)
        self.store, self.rank, self.size, self.hosts = store, rank, size, hosts
        self.how = f", by {size} processes as before,"
        self.agreed = 0
        self.state: TrainState | None = None  # of the training, once there is one

    def stopped(self) -> int:
        """As all ranks know since the last step."""
        return self.agreed

    def room(self, cfg: Config) -> int | None:
        """An equal share of this machine's memory; its own GPU's."""
        device = run_full.placement(cfg)[0]
        here = 1 if device.type == "cuda" else max(number("LOCAL_WORLD_SIZE", "1"), 1)
        return free_bytes(device) // here

    # Words: bytes from rank to rank

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Lost: the ranks do not reach one another, and why, if that is known."""
        try:
            yield
        except RuntimeError:
            found = self.reported()
            text = f"another of {self.size} processes has ended, or was silent for {minutes():g} "
            raise Lost(*(found or (f"{text}minutes", 1))) from None

    def send(self, payload: bytes) -> bytes:
        """What rank 0 has, on all ranks."""
        with self.reached():
            length = torch.tensor([len(payload)])
            dist.broadcast(length, 0)
            words = torch.zeros(int(length), dtype=torch.uint8)
            if self.rank == 0:
                words = torch.from_numpy(np.frombuffer(payload, np.uint8).copy())
            dist.broadcast(words, 0)
        return words.numpy().tobytes()

    def gather(self, payload: bytes) -> list[bytes]:
        """What every rank has, on all ranks."""
        with self.reached():
            lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
            dist.all_gather(lengths, torch.tensor([len(payload)]))
            most = max(map(int, lengths))
            words = torch.zeros(most, dtype=torch.uint8)
            words[: len(payload)] = torch.from_numpy(np.frombuffer(payload, np.uint8).copy())
            found = [torch.zeros_like(words) for _ in range(self.size)]
            dist.all_gather(found, words)
        pairs = zip(found, lengths, strict=True)
        return [one[: int(length)].numpy().tobytes() for one, length in pairs]

    def largest(self, value: int) -> int:
        """Of all ranks' values."""
        with self.reached():
            dist.all_reduce(word := torch.tensor([value]), dist.ReduceOp.MAX)
        return int(word)

    def wait(self) -> None:
        """Until all ranks are here."""
        self.largest(0)

    # Ends: one rank says what ended any of them

    def report(self, message: str, code: int) -> None:
        """Leaves word of what ends this rank, unless another was first."""
        with suppress(RuntimeError):
            self.store.compare_set("end", "", json.dumps([self.rank, message, code]))

    def reported(self) -> tuple[str, int] | None:
        """(sentence, exit code) of the rank that ended first; None: it left no word."""
        try:
            if not self.store.check(["end"]):
                return None
            rank, message, code = json.loads(self.store.get("end"))
        except RuntimeError:  # the store is gone with its process
            return None
        return (message if rank in (0, self.rank) else f"rank {rank}: {message}"), code

    def speaks(self) -> bool:
        """Whether this rank is to say what ended the ranks: rank 0, unless it does not."""
        try:
            until = time.monotonic() + (PATIENCE if self.rank else 0.0)
            while time.monotonic() < until and not self.store.check(["told"]):
                time.sleep(0.02)
            return self.store.add("told", 1) == 1
        except RuntimeError:
            return True

    def close(self) -> None:
        """This rank waits for no other from here on, and the others not for it."""
        if dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()

    def leave(self) -> None:
        """Last of all. A rank that hosts the store lets the others leave first."""
        self.close()
        with suppress(RuntimeError):
            left, until = self.store.add("left", 1), time.monotonic() + LAST
            while self.hosts and left < self.size and time.monotonic() < until:
                time.sleep(0.02)
                left = self.store.add("left", 0)

    # Training

    def tell(self, folder: Path, meta: dict[str, Any]) -> None:
        """Of rank 0: lets the others go on as well, see `following.resume`."""
        super().tell(folder, meta)
        self.send(
            json.dumps({k: meta[k] for k in ("status", "settings", "graph", "threads")}).encode()
        )

    def check(self, ready: Subject, cfg: Config, parts: Parts, batch_nodes: int) -> None:
        """ValueError, the same on all ranks: one has other settings, another graph or other
        arithmetic than rank 0; there is no subgraph for each. Else one's device is none to share
        in."""
        own = json.dumps(facts(ready, cfg, parts, batch_nodes)).encode()
        first, *others = map(json.loads, self.gather(own))
        for rank, found in enumerate(others, 1):
            for name, wanted in first.items():
                if (other := found.get(name)) != wanted:
                    raise ValueError(f"rank {rank}: {name} = {other}, expected {wanted} as rank 0")
        check_share(len(ready.graph.data.x), batch_nodes, self.size)
        check_device(cfg)

    def train(self, cfg: Config, data: Data, batch_nodes: int, **seams: Any) -> Result:
        """As `batches.train` with a state and on_epoch, the state being that of rank 0 on all. The
        loss of a row is of this rank's subgraph. Of ranks but 0 the result is none; their on_epoch
        sees rows without an evaluation. Only at an evaluation may on_epoch stop a training."""
        state: TrainState = seams["state"]
        payload = self.send(pack(state) if self.rank == 0 else b"")
        if self.rank:
            unpack(state, payload)
        data = self.same_neighbours(data)
        own = batches.prepared(cfg, data, batch_nodes, self.filled)
        self.state = state
        seams |= {"sampler": partial(self.sample, own.sampler, state), "embedder": own.embedder}
        seams["on_epoch"] = partial(self.after, seams["on_epoch"])
        hook = state.optimizer.register_step_pre_hook(partial(self.average, state))
        try:
            if self.rank == 0:
                return batches.train(cfg, data, batch_nodes, **seams)
            seams |= {"embedder": partial(self.assist, own.embedder)}
            seams |= {"keep": lambda state, row: False}
            return run_full.train(cfg, Data(x=data.x), **seams)  # no masks, nothing to judge
        finally:
            hook.remove()

    def same_neighbours(self, data: Data) -> Data:
        """data with the neighbours that rank 0 has found or kept, if any: another version of what
        finds them may find others."""
        kept = self.send(similar.packed(data) if self.rank == 0 else b"")
        if self.rank and kept:
            data = copy.copy(data)
            data.similar = safetensors.torch.load(kept)["nodes"]
        return data

    @property
    def evaluating(self) -> bool:
        """Whether all ranks are at the evaluation of a step, which has no result yet; what rank 0
        embeds besides, after the last step, it embeds alone."""
        rows = self.state.rows if self.state else []
        return bool(rows) and "effective_rank" not in rows[-1]

    def filled(self, n: int, chunk: int, rows_of: Rows) -> Tensor:
        """`batches.filled`, where `evaluating` by each rank some rows, which all ranks get."""
        if not self.evaluating:
            return batches.filled(n, chunk, rows_of)
        starts = [n * rank // self.size for rank in range(self.size + 1)]
        first, end = starts[self.rank : self.rank + 2]

        def own(rows: slice) -> Tensor:
            return rows_of(slice(first + rows.start, first + rows.stop))

        part = batches.filled(end - first, chunk, own)
        out = part.new_empty(n, part.shape[1])
        out[first:end] = part
        with self.reached():
            for rank in range(self.size):
                dist.broadcast(out[starts[rank] : starts[rank + 1]], rank)
        return out

    def assist(self, embedder: Embedder, encoder: nn.Module) -> Tensor:
        """An Embedder of ranks but 0: embeds its share; there is nothing to judge."""
        if self.evaluating:
            embedder(encoder)
        return torch.zeros(2, 1)

    def sample(self, sampler: Sampler, state: TrainState, step: int) -> Graph:
        """A Sampler: this rank's subgraph of a step, after its random streams began anew."""
        sequence = np.random.SeedSequence(state.cfg.seed, spawn_key=(step, self.rank))
        seeds = sequence.generate_state(len(state.streams), np.uint64).tolist()
        for stream, seed in zip(state.streams.values(), seeds, strict=True):
            stream.manual_seed(seed)
        return sampler(step * self.size + self.rank)

    @torch.no_grad()
    def average(self, state: TrainState, *_: object) -> None:
        """A hook before the optimizer's step: gradients and running statistics become the means
        over ranks. Who was asked to stop is known to all from here on."""
        self.agreed = self.largest(self.asked())
        own = averaged_of(state)
        flat = torch.cat([tensor.flatten() for tensor in own])
        with self.reached():
            dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(own, flat.split([t.numel() for t in own]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def after(self, hook: EpochHook, state: TrainState, row: dict[str, float]) -> None:
        """An EpochHook: this rank's, and an end that all ranks agree on."""
        ended = False
        try:
            hook(state, row)
        except StopTraining:
            ended = True
        if "effective_rank" in row:  # rank 0 has evaluated
            ended = self.send(b"end" if ended else b"go on") == b"end"
        if ended or (self.rank and self.agreed and row is state.rows[-1]):
            raise StopTraining


def averaged_of(state: TrainState) -> list[Tensor]:
    """Gradients, and the running statistics of batch norm."""
    weights = [p for group in state.optimizer.param_groups for p in group["params"]]
    found: list[Tensor] = [p.grad for p in weights if p.grad is not None]
    for module in (state.encoder, state.predictor):
        found += [b for b in module.buffers() if b.is_floating_point()]
    return found


def facts(ready: Subject, cfg: Config, parts: Parts, batch_nodes: int) -> dict[str, Any]:
    """What must be the same on all ranks, JSON can hold it."""
    device, fast = run_full.placement(cfg)
    found = {"toolkit": __version__, "format": FORMAT, "torch": torch.__version__}
    found |= {"kind of device": device.type, "bf16": fast}
    found |= {"instructions (ATEN_CPU_CAPABILITY)": torch.backends.cpu.get_cpu_capability()}
    found |= {"SHA-256 of the graph": ready.sha256, "batch_nodes": batch_nodes}
    return found | asdict(cfg) | asdict(parts)


def check_share(n: int, batch_nodes: int, size: int) -> None:
    """ValueError: no subgraph for each rank of a graph of n nodes."""
    if not 0 < batch_nodes < n:
        text = f"expected from 2 to {n - 1}, for {size} processes train on a subgraph each"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")
    if (steps := math.ceil(n / batch_nodes)) < size:
        text = f"{n} nodes make {steps} subgraphs, expected one for each of {size} processes"
        raise ValueError(f"batch_nodes = {batch_nodes}: {text}")


def check_device(cfg: Config) -> None:
    """ValueError: one that processes cannot share a training on."""
    if cfg.device not in DEVICES:
        text = f"expected one of {', '.join(DEVICES)}, for each process has its own"
        raise ValueError(f"device = {cfg.device}: {text}")
    device = run_full.placement(cfg)[0]
    if device.type not in DEVICES:
        raise ValueError(f"device = {cfg.device} is {device} here: expected cpu or cuda")
    if device.type == "cuda" and number("LOCAL_RANK", "0") >= torch.cuda.device_count():
        text = f"expected below {torch.cuda.device_count()}, the GPUs of its machine"
        raise ValueError(f"LOCAL_RANK = {number('LOCAL_RANK', '0')}: {text}")
