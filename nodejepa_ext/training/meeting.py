"""How the processes of one training find one another, by the environment that torchrun sets.

Apart from `group`, which is what they do then. Waiting is in Python, a little at a time, so that a
process that is asked to stop before all are there does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore

from nodejepa_ext.training.group import Group
from nodejepa_ext.training.ranks import minutes, number
from run_full import RunError

SECONDS = 5.0  # that one attempt to reach rank 0 takes
LINKED = 60.0  # seconds that a rank waits for others to be linked, before it goes on all the same


def join(asked: Callable[[], int]) -> Group:
    """The group that the environment tells of; asked: as in `ranks.Alone`. Of a GPU a process,
    "cuda" means its own from here on. ValueError: the environment tells of none. RunError 1: the
    others do not come in time."""
    rank, size, limit = number("RANK"), number("WORLD_SIZE"), minutes()
    if rank >= size:
        raise ValueError(f"RANK = {rank}: expected below WORLD_SIZE, which is {size}")
    if not (host := os.environ.get("MASTER_ADDR")):
        raise ValueError("MASTER_ADDR: expected the host of rank 0, as torchrun sets it")
    port = number("MASTER_PORT")
    backend = "gloo"
    if torch.cuda.is_available() and number("LOCAL_RANK", "0") < torch.cuda.device_count():
        torch.cuda.set_device(number("LOCAL_RANK", "0"))
        backend = "cpu:gloo,cuda:nccl"
    hosts = rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    try:
        store = met(host, port, rank, size, hosts, 60 * limit)
        own = PrefixStore("group", store)
        wait = timedelta(minutes=limit)
        dist.init_process_group(backend, store=own, rank=rank, world_size=size, timeout=wait)
        linked(store, size)
    except RuntimeError as error:
        text = f"rank {rank}: not all of {size} processes met at {host}:{port}"
        raise RunError(f"{text}: {str(error).splitlines()[0][:200]}", 1) from None
    return Group(store, rank, size, asked, hosts)


def met(host: str, port: int, rank: int, size: int, hosts: bool, seconds: float) -> PrefixStore:
    """What all ranks write to and read from, when all are there. RuntimeError: they are not in so
    many seconds; or the port is another's."""
    until = time.monotonic() + seconds
    store: TCPStore | None = None
    wait = timedelta(seconds=min(SECONDS, seconds))
    while store is None:
        try:
            store = TCPStore(host, port, size, hosts, wait, wait_for_workers=False)
        except RuntimeError:
            if rank == 0 or time.monotonic() > until:
                raise
    store.set_timeout(timedelta(seconds=seconds))
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # torchrun keeps the store
    found = PrefixStore(f"nodejepa/{again}", store)
    here = found.add("here", 1)
    while here < size:
        if time.monotonic() > until:
            raise RuntimeError(f"{here} came within {seconds / 60:g} minutes")
        time.sleep(0.02)
        here = found.add("here", 0)
    return found


def linked(store: PrefixStore, size: int) -> None:
    """Waits until all ranks have a link to all: a rank that ends at once, as for a mistake in its
    options, would break those that are not made yet, and no one would hear why."""
    until = time.monotonic() + LINKED
    there = store.add("linked", 1)
    while there < size and time.monotonic() < until:
        time.sleep(0.02)
        there = store.add("linked", 0)
