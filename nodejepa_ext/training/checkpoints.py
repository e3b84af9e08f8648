"""A training state on disk: written whole or not at all, and believed only if it verifies.

Apart from `folder`, which says what a run's folder holds: here is how no file is half-written, and
how a `TrainState` goes to safetensors and back bit for bit. A checkpoint is a pair of files:
`step-00000120.safetensors`, and last `step-00000120.json` with its SHA-256. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from nodejepa_ext.files import atomic
from nodejepa_ext.graphs.scaling import Scaling
from nodejepa_ext.parts.choice import differences
from nodejepa_ext.records import Damaged, check, read_bytes
from nodejepa_ext.workers.machine import versions
from nodejepa_ext.workers.seats import place
from run_full import Config, Encoder, RunError, TrainState

FORMAT = 2  # 1: other names of weights
KEPT = 2
ROW, STREAM = 400, 6000  # bytes, at most, of an epoch's row and of the state of a random stream
LARGEST = 1 << 40  # bytes of a file of tensors
FILES = re.compile(r"step-\d{8,}\.(json|safetensors)")
Tensors = dict[str, Tensor]
UNSOUND = (
    safetensors.SafetensorError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RuntimeError,  # of torch, and of JSON nested too deeply
)


def circumstances(cfg: Config) -> dict[str, Any]:
    """{"versions", "device", "precision"} of a run here."""
    return {"versions": versions("safetensors"), **place(cfg)}


def same_place(folder: Path, meta: dict[str, Any], cfg: Config, say: Callable[[str], None]) -> None:
    """Says with which other versions the run of run.json began. ValueError: it began on another
    kind of device, or in another precision, than it would go on here."""
    for name, now in versions("safetensors").items():
        if (then := meta["versions"].get(name)) != now:
            say(f"{name} {now}, begun with {then}: the result may differ in the last digits")
    here = place(cfg)
    begun = {name: meta.get(name, now).partition(":")[0] for name, now in here.items()}
    if changed := differences(begun, here):
        text = "since the run began; it goes on where it began, or on a machine like that"
        raise ValueError(f"{folder / 'run.json'}: {'; '.join(changed)} {text}")


def write(path: Path, payload: bytes | memoryview | str) -> str:
    """Atomically -> its SHA-256."""
    payload = payload.encode() if isinstance(payload, str) else payload
    with atomic(path) as file:
        file.write(payload)
    return hashlib.sha256(payload).hexdigest()


def pack(state: TrainState) -> bytes:
    """All of a state as safetensors; what is no tensor, as JSON in the tensor "facts" [bytes]."""
    modules = {
        "encoder": state.encoder,
        "target": state.target_encoder,
        "predictor": state.predictor,
    }
    tensors = {f"{part}.{k}": t for part, m in modules.items() for k, t in m.state_dict().items()}
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": t for slot, t in slots.items()}
    tensors |= {f"stream.{name}": g.get_state() for name, g in state.streams.items()}
    best = dict(state.best)
    tensors |= {f"best.{k}": t for k, t in best.pop("weights", {}).items()}
    facts = json.dumps({"step": state.step, "best": best, "rows": state.rows}).encode()
    tensors["facts"] = torch.from_numpy(np.frombuffer(facts, np.uint8).copy())
    return safetensors.torch.save({k: t.cpu().contiguous() for k, t in tensors.items()})


def unpack(state: TrainState, payload: bytes) -> None:
    """Sets all of a new state of the same settings. ValueError: the payload is none of its."""
    try:
        tensors = safetensors.torch.load(payload)
        facts = sound(json.loads(tensors.pop("facts").numpy().tobytes()), state.cfg.epochs)
        for part, module in (
            ("encoder", state.encoder),
            ("target", state.target_encoder),
            ("predictor", state.predictor),
        ):
            module.load_state_dict(take(tensors, part))
        slots: dict[int, Tensors] = {}
        for name, tensor in take(tensors, "optimizer").items():
            index, _, slot = name.partition(".")
            slots.setdefault(int(index), {})[slot] = tensor
        for number, own in slots.items():
            same_shapes(own, moments(state.optimizer, number))
        groups = state.optimizer.state_dict()["param_groups"]
        state.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        for name, value in take(tensors, "stream").items():
            state.streams[name].set_state(value)
        device = next(state.encoder.parameters()).device
        weights = {k: t.to(device) for k, t in take(tensors, "best").items()}
        if weights:
            same_shapes(weights, state.encoder.state_dict())
        if bool(weights) != bool(facts["best"]):
            raise ValueError("best: expected its epoch and its weights, or neither")
        state.best = facts["best"] | ({"weights": weights} if weights else {})
        state.step, state.rows = facts["step"], facts["rows"]
    except UNSOUND as error:
        raise ValueError(f"no state of this run: {str(error)[:200]}") from None


def sound(facts: Any, epochs: int) -> dict[str, Any]:
    """What is no tensor of a state, of at most so many epochs. ValueError names what it is not."""
    check("facts", facts, {"step": int, "best": {"epoch?": int, "val?": float}, "rows": [dict]})
    step, epoch = facts["step"], facts["best"].get("epoch", 1)
    if not 0 <= step <= epochs or not 1 <= epoch <= max(step, 1):
        raise ValueError(f"step {step}, best {epoch}: expected at most {epochs}, and best before")
    for number, row in enumerate(facts["rows"], 1):
        numbers = all(type(value) in (int, float) for value in row.values())  # also not finite
        if not numbers or row.get("epoch") != number or "loss" not in row:
            raise ValueError(f"row {number}: expected its epoch, loss and other numbers")
    if len(facts["rows"]) != step:
        raise ValueError(f"{len(facts['rows'])} rows, expected {step}")
    found: dict[str, Any] = facts
    return found


def moments(optimizer: torch.optim.Optimizer, number: int) -> Tensors:
    """Tensors of the shapes that AdamW keeps of a parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    own = parameters[number]
    return {"step": torch.zeros(()), "exp_avg": own, "exp_avg_sq": own}


def same_shapes(found: Tensors, wanted: Tensors) -> None:
    """ValueError names the first tensor that is missing, of another shape or too many."""
    for name in sorted(wanted.keys() | found.keys()):
        shape = list(found[name].shape) if name in found else "missing"
        other = list(wanted[name].shape) if name in wanted else "none"
        if shape != other:
            raise ValueError(f"{name}: {shape}, expected {other}")


def take(tensors: Tensors, part: str) -> Tensors:
    """Those of one part, by their own names, aligned as torch allocates."""
    own = {k: t for k, t in tensors.items() if k.startswith(f"{part}.")}
    return {k.removeprefix(f"{part}."): t.clone() for k, t in own.items()}


def manifest(name: str, payload: bytes, format: int = FORMAT) -> bytes:
    """What the JSON file beside a checkpoint must hold, to the byte."""
    facts = {"format": format, "file": name, "bytes": len(payload)}
    return json.dumps(facts | {"sha256": hashlib.sha256(payload).hexdigest()}).encode()


class Checkpoints:
    """The last two states of a run, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.last = folder, ""  # stem of the newest that is known to be good

    def footprint(self, state: TrainState, nodes: int, node_id: Any = None) -> int:
        """Bytes on disk, at most, of a run from its beginning to its end; nodes: of the graph, and
        their ids, an array, if they have any."""
        cfg = state.cfg
        encoder, predictor = (
            sum(t.nbytes for t in module.state_dict().values())
            for module in (state.encoder, state.predictor)
        )
        rows = ROW * cfg.epochs
        tensors = 5 * encoder + 3 * predictor + STREAM * len(state.streams)  # see `pack`
        checkpoint = tensors + rows + (1 << 16)  # headers
        each = 8 if node_id is None else node_id.itemsize
        embeddings = nodes * (4 * cfg.latent + each + 4 * cfg.neighbours)  # and neighbours kept
        return (KEPT + 1) * checkpoint + rows + encoder + embeddings + (1 << 18)

    def save(self, state: TrainState) -> None:
        """On disk when this returns; then all but this one and the good one before are removed.
        OSError: it cannot be written, and those before are as they were."""
        stem = f"step-{state.step:08d}"
        if stem == self.last:
            return
        payload = pack(state)
        self.folder.mkdir(exist_ok=True)
        write(self.folder / f"{stem}.safetensors", payload)
        write(self.folder / f"{stem}.json", manifest(f"{stem}.safetensors", payload))
        good, self.last = {stem, self.last}, stem
        for path in sorted(self.folder.iterdir()):  # a manifest before its tensors
            if FILES.fullmatch(path.name) and path.stem not in good:
                path.unlink()

    def restore(self, state: TrainState, say: Callable[[str], None]) -> None:
        """Sets a new state to the newest checkpoint that verifies, and says which do not, and why;
        leaves it new where no checkpoint was ever finished. RunError 4: there are some, all bad."""
        found = self.folder.glob("step-*.json") if self.folder.is_dir() else ()
        stems = sorted((path.stem for path in found if FILES.fullmatch(path.name)), reverse=True)
        reasons: list[str] = []
        for stem in stems:
            try:
                unpack(state, self.verified(stem))
            except (ValueError, OSError) as error:
                reasons.append(str(error))
                say(f"{self.folder / stem}: left out: {error}")
                continue
            self.last = stem
            return
        if stems:
            text = f"none of {len(stems)} checkpoints verifies; the newest: {reasons[0]}"
            raise RunError(f"{self.folder}: {text}", 4)

    def verified(self, stem: str) -> bytes:
        """The tensors' file. ValueError: it or its manifest is not what was written, or of another
        format."""
        path = self.folder / f"{stem}.safetensors"
        payload = read_bytes(path, LARGEST)
        wanted = manifest(path.name, payload)
        found = read_bytes(path.with_suffix(".json"))
        if found == manifest(path.name, payload, format=1):
            raise ValueError(f"checkpoint of format 1, expected {FORMAT}")
        if found != wanted:
            text = f"its manifest says {found[:200]!r}"
            raise ValueError(f"the file is {wanted.decode()}, {text}")
        return payload


def encoder_of(cfg: Config, features: int, tensors: Tensors) -> Encoder:
    """On the cpu, with these weights, which are compared before memory is taken for any. ValueError
    names the first that is missing, of another shape or too many."""
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            same_shapes(tensors, Encoder(cfg, features).state_dict())
        encoder = Encoder(cfg, features)
    encoder.load_state_dict(tensors)
    return encoder


def scaling_of(rule: str, features: int, tensors: Tensors, positions: int = 0) -> Scaling:
    """Taken out of the tensors of a model; features: with the positions beside them. ValueError:
    the rule needs others, or none, or nothing but positions is left."""
    features -= positions
    if positions and (features < 1 or rule == "structural"):
        raise ValueError(f"positions = {positions}: expected fewer than there are features")
    found = {name: tensors.pop(f"scaling.{name}", None) for name in ("mean", "scale", "weight")}
    wide = [features] if rule == "columns" else None
    wanted = {"mean": wide, "scale": wide, "weight": [] if positions else None}
    for name, tensor in found.items():
        shape = None if tensor is None else list(tensor.shape)
        if shape != wanted[name]:
            text = f"expected {wanted[name]} for the rule {rule!r} and {positions} positions"
            raise ValueError(f"scaling.{name}: {shape}, {text}")
    return Scaling(rule, **found, positions=positions)


def verify(path: Path, sha256: Any) -> bytes:
    """The file of that SHA-256. RunError 4: it has another, or is not there."""
    try:
        payload = read_bytes(path, LARGEST)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}, expected SHA-256 {sha256}", 4) from None
    except Damaged as error:
        raise RunError(str(error), 4) from None
    if (found := hashlib.sha256(payload).hexdigest()) != sha256:
        raise RunError(f"{path} has SHA-256 {found}, expected {sha256}", 4)
    return payload
