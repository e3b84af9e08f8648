"""What a sweep found: read from its Optuna studies, and from nothing else.

Kept apart from `study`, which searches: a report can be made while a sweep runs, and made again.
Values and accuracies are fractions: a trial's value is the mean over its seeds of validation or
development accuracy, or of effective rank / D, as its objective says. Test figures come from phase
final alone.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nodejepa_ext.files import atomic
from nodejepa_ext.records import Damaged, one_line
from nodejepa_ext.sweep.kept import attributes, kept, planned
from nodejepa_ext.sweep.repeats import unfinished
from nodejepa_ext.sweep.rounds import (
    Report,
    against_base,
    complete,
    configurations,
    curse,
    measured,
    settings,
    spearman,
    tested,
    value,
    winning,
)
from nodejepa_ext.sweep.words import sentences, shown, span, spread, tallied
from nodejepa_ext.workers.machine import versions

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from rich.table import Table

JOURNAL, RESULTS, BEST, CURVES = "journal.jsonl", "final_results.json", "best.toml", "curves.jsonl"
HEAD = "# nodejepa-ext table --config best.toml, or nodejepa-ext train GRAPH --config best.toml\n"
RETIRED = "retired: "  # a study's attribute of a seat that was: followed by supervisor and seat
ROUNDS, FINAL = "/rounds", "/final"  # what follows the search's name in those of its other studies
KEPT = "outcome message config rows cpu_seconds wall_seconds peak_mib worker retry_of of seed"
KEPT += " device card precision revisions"
STATES = {"COMPLETE": "ok", "FAIL": "failed"}  # outcome of a trial that states none
FEWEST = 8  # complete trials, for importances
UNITS = {
    "val": "validation accuracy, %",
    "dev": "development accuracy, %",
    "rankme": "effective rank / D",
}
CAPTION = (
    "A trial's value is the mean over its seeds; on fresh seeds: mean ± std and t interval over "
    "seeds. As the largest of many, the search's values are too high; on fresh seeds only the "
    "winner's is, a little."
)


def aloud(note: str) -> None:
    print(note, file=sys.stderr)


def read(
    folder: Path,
    url: str | None = None,
    study: str = "",
    on_event: Callable[[str], None] = aloud,
) -> Report:
    """The report of a sweep's folder, or of the studies called `study` in the storage at `url`; as
    `write` left it, where there is no storage. on_event hears what there is to say of the storage.
    ValueError: that is no sweep; RunError: as in `storage.open_store`."""
    if bool(url) != bool(study):
        raise ValueError("--storage and --study: expected both or neither")
    if (folder / "rows.jsonl").is_file():
        raise ValueError(f"{folder} holds an ablation, expected a sweep; see its report.md")
    if not url and not (folder / JOURNAL).is_file():
        if (folder / BEST).is_file() and (folder / RESULTS).is_file():
            return kept(folder / RESULTS)
        raise ValueError(f"{folder}: expected a sweep's folder, with {JOURNAL}, or --storage")
    from nodejepa_ext.sweep.storage import open_store

    with open_store(folder, url, join=False, read_only=True, on_event=on_event) as store:
        try:
            return report(store.optuna, f"{study}/" if study else "")
        except ValueError as error:
            kind = Damaged if isinstance(error, Damaged) else ValueError
            raise kind(f"{'--storage' if url else folder / JOURNAL}: {error}") from None


def report(storage: BaseStorage, prefix: str = "") -> Report:
    """JSON-able: {"graphs": {graph: see `of_graph`}, "versions"}; a figure that does not exist is
    None. ValueError: the storage has no sweep whose studies' names begin with `prefix`."""
    studies = {study.study_name: study for study in storage.get_all_studies()}
    plans = {name: study.user_attrs.get("plan") for name, study in studies.items()}
    graphs = {
        planned(name, plan)["graph"]: of_graph(storage, {*studies}, name, plan)
        for name, plan in plans.items()
        if plan is not None and name == prefix + planned(name, plan)["graph"]
    }
    if not graphs:
        wanted = f"a sweep's studies, named {prefix}<graph>"
        raise ValueError(f"expected {wanted}; found {', '.join(studies) or 'none'}")
    return finite({"graphs": graphs, "versions": versions("optuna")})


def of_graph(storage: BaseStorage, names: set[str], name: str, plan: Report) -> Report:
    """All that is known of one graph; `name` is its search's. Keys: plan, study, knobs, trials,
    counts of outcomes, best (trial number), rounds, winner, winners_curse, against_base,
    importances, rank_correlation, test, unfinished (phase -> kind -> trial numbers), retired."""
    studies = {
        "final": of_study(storage, names, name + FINAL),
        "rounds": of_study(storage, names, name + ROUNDS),
        "search": of_study(storage, names, name),  # last: has all that the others refer to
    }
    frozen = studies["search"]
    final, fresh, trials = ([entry(t, name) for t in found] for found in studies.values())
    left = {phase: unfinished(found, phase == "search") for phase, found in studies.items()}
    lines = configurations(plan, trials, fresh)
    winner = winning(plan, trials, lines)
    done = [trial for trial in trials if complete(trial)]
    different = {json.dumps(settings(trial["config"]), sort_keys=True) for trial in done}
    chosen = min(plan["rounds"]["best"], len(different)) if plan["rounds"]["seeds"] else 0
    missing = len(lines) < chosen or any(line["missing"] for line in lines) or bool(left["rounds"])
    return {
        "plan": plan,
        "study": name,
        "knobs": knobs(frozen),
        "trials": trials,
        "counts": dict(Counter(trial["outcome"] for trial in trials).most_common()),
        "best": max(done, key=value)["number"] if done else None,
        "rounds": plan["rounds"] | {"unfinished": missing, "lines": lines, "trials": fresh},
        "winner": winner,
        "winners_curse": curse(plan, lines),
        "against_base": against_base(lines),
        "importances": importances(storage, name, done),
        "rank_correlation": rank_correlation(trials),
        "test": tested(final, winner),
        "unfinished": {phase: found for phase, found in left.items() if found},
        "retired": retired(storage.get_study_user_attrs(storage.get_study_id_from_name(name))),
    }


def of_study(storage: BaseStorage, names: set[str], name: str) -> list[FrozenTrial]:
    """The study's trials; none if there is no such study yet."""
    if name not in names:
        return []
    return storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False)


def retired(attributes: Report) -> list[Report]:
    """{"supervisor", "seat", "why"} of each seat that failed too often, from those of a study."""
    found = []
    for name, why in attributes.items():
        if name.startswith(RETIRED):
            supervisor, _, seat = name.removeprefix(RETIRED).partition(" ")
            found.append({"supervisor": supervisor, "seat": seat, "why": why})
    return found


def entry(trial: FrozenTrial, study: str) -> Report:
    """A trial as JSON has it; intermediate: [[twentieths of its work, running objective], ...].
    Damaged: it is no sweep's; study: for the message."""
    own, state = attributes(study, trial.number, trial.user_attrs), trial.state
    kept = {k: own[k] for k in KEPT.split() if k in own}
    made: Report = {"number": trial.number, "state": state.name, "params": trial.params}
    made |= {"value": trial.values[0] if trial.values else None}
    made |= {"intermediate": [[*pair] for pair in sorted(trial.intermediate_values.items())]}
    stated = kept.pop("outcome", None) if state.is_finished() else None
    return made | kept | {"outcome": stated or STATES.get(state.name, state.name.lower())}


def knobs(trials: list[FrozenTrial]) -> Report:
    """Name -> {"choices", "log"} of what was searched."""
    spaces = {name: d for trial in trials for name, d in trial.distributions.items()}
    return {
        name: {"choices": getattr(d, "choices", None), "log": getattr(d, "log", False)}
        for name, d in spaces.items()
    }


def floor(values: list[float]) -> float:
    """Below it, four times as far from the best as the median, a value is as bad as any other: one
    collapsed trial is not to set the scale for all."""
    drop = max(values) - float(np.median(values))
    return max(min(values), max(values) - 4 * drop) if drop else min(values)


def importances(storage: BaseStorage, name: str, done: list[Report]) -> dict[str, float] | None:
    """Knob -> its share of what single knobs explain of the variance (fANOVA; Hutter et al. 2014),
    the largest first, of the knobs in all complete trials; a value below the floor counts as the
    floor. None: too few trials, or all equal."""
    values = [value(trial) for trial in done]
    if len(done) < FEWEST or len(set(values)) == 1:
        return None
    import optuna

    least = floor(values)
    found = optuna.importance.get_param_importances(
        optuna.load_study(study_name=name, storage=storage),
        evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
        target=lambda trial: max(trial.values[0], least),
    )
    return {knob: float(share) for knob, share in found.items()} or None


def rank_correlation(trials: list[Report]) -> Report | None:
    """Spearman between effective rank / D and validation accuracy, means over a trial's seeds: how
    far an objective without labels can be trusted."""
    groups = [[(r["rank"], r["val"]) for r in t.get("rows", []) if "val" in r] for t in trials]
    means = [np.mean(group, axis=0).tolist() for group in groups if group]
    return spearman([rank for rank, _ in means], [val for _, val in means])


def finite(found: Any) -> Any:
    """The same without nan and infinities, which JSON has not: None in their place."""
    if isinstance(found, dict):
        return {key: finite(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def best_toml(found: Report) -> str:
    """A section a graph with every field of the winner, for --config; where it runs is left out."""
    parts = [HEAD]
    for graph, part in found["graphs"].items():
        if not (winner := part["winner"]):
            parts.append(f"# {one_line(graph)}: no winner yet\n")
            continue
        words = [f"trial {winner['number']} of study {one_line(part['study'])}"]
        words += ["of unfinished rounds"] * part["rounds"]["unfinished"]
        seeds = "fresh seeds" if winner["by"] == "rounds" else "the seeds that it was chosen on"
        if winner["val"]["n"]:
            of = f"{seeds} (n {winner['val']['n']})"
            words.append(f"validation {spread(winner['val'], 'val')} % on {of}")
        lines = [f"# {', '.join(words)}"]
        lines.append(f"[{graph if re.fullmatch('[A-Za-z0-9_-]+', graph) else json.dumps(graph)}]")
        fields = settings(winner["config"]).items()
        lines += [f"{name} = {json.dumps(value)}" for name, value in fields]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def curves(found: Report) -> list[Report]:
    """A line an evaluation: graph, phase, trial, seed, epoch and what was measured."""
    lines = []
    for graph, part in found["graphs"].items():
        final = part["test"]["trials"] if part["test"] else []
        phases = {"search": part["trials"], "rounds": part["rounds"]["trials"], "final": final}
        for phase, trials in phases.items():
            for trial in trials:
                names = {"graph": graph, "phase": phase, "trial": trial["number"]}
                for row in trial.get("rows", []):
                    lines += [names | {"seed": row["seed"]} | at for at in row.get("curve", [])]
    return lines


def write(folder: Path, found: Report) -> None:
    """CURVES, BEST and RESULTS into the folder, made if need be; each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {CURVES: "".join(json.dumps(line) + "\n" for line in curves(found))}
    texts |= {BEST: best_toml(found), RESULTS: json.dumps(found, indent=1) + "\n"}
    for name, text in texts.items():
        with atomic(folder / name) as file:
            file.write(text.encode())


def varied(part: Report, trials: list[Report]) -> list[str]:
    """The knobs that differ between these trials."""
    own = [trial["params"] for trial in trials]
    return [name for name in part["knobs"] if len({params.get(name) for params in own}) > 1]


def best_table(part: Report, top: int) -> Table | None:
    """The search's `top` trials; of the knobs, those that vary."""
    from rich.table import Table

    done = sorted(filter(complete, part["trials"]), key=value, reverse=True)
    names, objective = varied(part, done), part["plan"]["objective"]
    if not done:
        return None
    beside = [] if objective == "val" else ["validation, %"]
    heads = ["trial", UNITS[objective], *beside, "effective rank", "CPU s", *names]
    title = f"The best {min(top, len(done))} of {len(done)} complete trials"
    table = Table(*(head.replace("_", "\n") for head in heads), title=title, title_justify="left")
    for trial in done[:top]:
        cells = [str(trial["number"]), shown(trial["value"], objective)]
        cells += [shown(finite(measured([trial], "val"))["mean"], "val")] * len(beside)
        cells.append(f"{measured([trial], 'effective_rank')['mean']:.1f}")
        cells.append(f"{trial.get('cpu_seconds') or 0:.0f}")
        table.add_row(*cells, *(knob_text(trial["params"].get(name)) for name in names))
    return table


def knob_text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else one_line(str(value))


def rounds_table(part: Report) -> Table | None:
    """The configurations on fresh seeds, the winner first."""
    from rich.table import Table

    rounds, objective = part["rounds"], part["plan"]["objective"]
    if not rounds["lines"]:
        return None
    beside = [] if objective == "val" else ["validation, %"]
    heads = ["trial", "fresh seeds", "95% interval", "n", *beside, "search", "rank there", "notes"]
    title = f"On {len(rounds['seeds'])} fresh seeds, {UNITS[objective]}"
    table = Table(*heads, title=title, title_justify="left")
    for line in rounds["lines"]:
        fresh = line["fresh"]
        told = ["the settings it started from"] * line["base"] + [tallied(line["failed"])]
        told.append(f"{line['missing']} missing" if line["missing"] else "")
        cells = [str(line["number"]), spread(fresh, objective), span(fresh, objective)]
        cells += [str(fresh["n"]), *[spread(line["val"], "val")] * len(beside)]
        cells += [shown(line["search"], objective), str(line["search_rank"])]
        table.add_row(*cells, ", ".join(filter(None, told)))
    return table


def tables(found: Report, top: int = 10) -> list[Table | str]:
    """For a terminal, per graph: counts, the best trials, the rounds, and what they show."""
    from rich.markup import escape

    parts: list[Table | str | None] = []
    for graph, part in found["graphs"].items():
        rounds, final = part["rounds"]["trials"], (part["test"] or {"trials": []})["trials"]
        cpu = sum(t.get("cpu_seconds") or 0 for t in [*part["trials"], *rounds, *final]) / 3600
        head = f"{len(part['trials'])} trials ({tallied(part['counts'])}), {cpu:.1f} CPU hours"
        parts.append(f"[bold]{escape(graph)}[/bold]: {head}")
        parts += [best_table(part, top), rounds_table(part), *map(escape, sentences(part))]
    return [*(part for part in parts if part), CAPTION]
