"""A sweep: an Optuna study a graph, rounds on fresh seeds, a winner.

This process asks the study for configurations and tells it what came of them; worker processes
(`nodejepa_ext.sweep.trial`) train them. Several supervisors may share a study, each with workers of
its own: all they agree on is in the storage. The best of a search is chosen for its luck as well,
so the best few run again on seeds that the search never saw, and are ranked anew, on validation.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from nodejepa_ext.parts.choice import differences
from nodejepa_ext.sweep.journal import Store
from nodejepa_ext.sweep.kept import placed, planned
from nodejepa_ext.sweep.place import PLACE, moved, ran_on
from nodejepa_ext.sweep.plan import PRUNERS, Attributes, Plan, folder
from nodejepa_ext.sweep.repeats import INTERRUPTED, due, originals
from nodejepa_ext.sweep.report import FINAL, RETIRED, ROUNDS, report
from nodejepa_ext.sweep.rounds import settings
from nodejepa_ext.sweep.trial import REPORTS
from nodejepa_ext.workers.faults import MEMORY, fault
from nodejepa_ext.workers.supervisor import Job, Outcome

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass
class Asked:
    """A trial that this process runs."""

    trial: Trial
    job: Job
    share: float = 0.0  # of its work
    value: float | None = None  # so far
    told: int = 0  # twentieths


class GraphSweep:
    """One graph: search, rounds, final. ValueError: the study there is another sweep's."""

    def __init__(self, plan: Plan, graph: str, store: Store) -> None:
        self.plan, self.graph, self.store, self.done = plan, graph, store, False
        self.name = plan.prefix + graph  # of the search
        self.base = configuration(asdict(plan.spaces[graph].base))
        self.place = ran_on(plan.spaces[graph].base)  # as fields of a place are in no space
        self.began = math.inf  # when its first trial was drawn
        self.asked: dict[str, Asked] = {}  # by "study#number"
        self.studies: dict[str, optuna.Study] = {}
        self.filled: set[str] = set()  # studies whose trials were enqueued
        if self.exists(self.name):
            self.agree()

    def begin(self) -> None:
        """Writes down what is planned, and takes up what others have left."""
        self.agree()
        for i, cfg in enumerate(self.plan.enqueue[self.graph]):
            params = self.plan.spaces[self.graph].params(cfg)
            self.store.enqueue(self.search, params, {}, f"enqueued {i}: {params}")
        for phase in filter(self.exists, (f"{self.name}{ROUNDS}", f"{self.name}{FINAL}")):
            self.study(phase)
        self.reap(start=True)

    def retired(self, seat: str, why: str) -> None:
        """Writes down that a seat gets no more trials until the next start."""
        self.search.set_user_attr(f"{RETIRED}{self.store.owner} {seat}", why)

    def closed(self) -> str:
        """What there is to say of a search that ended before the trials now asked for."""
        begun = originals(self.search.get_trials(deepcopy=False))
        if not self.rounds_begun() or begun >= self.plan.trials:
            return ""
        return (
            f"{self.name}: its search was over with {begun} trials when the rounds began; "
            f"--trials {self.plan.trials} adds none, another --out or --study begins anew"
        )

    @property
    def search(self) -> optuna.Study:
        return self.study(self.name)

    def exists(self, name: str) -> bool:
        return name in optuna.get_all_study_names(self.store.optuna)

    def study(self, name: str) -> optuna.Study:
        """The Optuna study of that name, loaded or created once."""
        if name not in self.studies:
            where: Attributes = {"storage": self.store.optuna, "study_name": name}
            where |= {"pruner": PRUNERS[self.plan.pruner]()}
            if self.exists(name):
                study = optuna.load_study(**where)
            else:
                study = optuna.create_study(**where, direction="maximize", load_if_exists=True)
            shared = self.plan.url or self.plan.join  # two samplers of one seed draw alike
            seed = None if shared else self.plan.seeds[0] + len(study.trials)
            study.sampler = optuna.samplers.TPESampler(seed=seed)
            self.studies[name] = study
        return self.studies[name]

    def agree(self) -> None:
        """The study's plan is this one, or becomes it."""
        now, was = self.plan.of(self.graph), self.search.user_attrs.get("plan")
        if was is None:
            self.search.set_user_attr(PLACE, self.place)
            self.search.set_user_attr("plan", now)
            return
        place = placed(self.name, self.search.user_attrs.get(PLACE))
        found = differences(planned(self.name, was), now)
        found += moved(place, self.search.get_trials(deepcopy=False), self.place)
        if found:
            raise ValueError(
                f"study {self.search.study_name} was begun otherwise: {'; '.join(found)}. "
                "The same options continue it; another --out or --study begins anew"
            )

    def reap(self, start: bool = False) -> None:
        """Trials of dead supervisors run again, whoever reaped them: that one may have died before
        it could see to this. So does, at the start, what the machine failed."""
        for study in list(self.studies.values()):
            self.store.reap(study)
            for trial in due(study.get_trials(deepcopy=False), start):
                self.again(study, trial)

    def again(self, study: optuna.Study, trial: FrozenTrial) -> None:
        kept = {k: v for k, v in trial.user_attrs.items() if k in ("of", "seed", "config")}
        attributes = kept | {"retry_of": trial.number}
        params = trial.params or trial.system_attrs.get("fixed_params", {})
        self.store.enqueue(study, params, attributes, f"retry of {trial.number}")

    def draw(self) -> Job | None:
        """The next job; None: there is none now."""
        for phase in (self.draw_search, self.draw_round, self.draw_final):
            job, over = phase()
            if job or not over:
                return job
        self.done = True
        return None

    def draw_search(self) -> tuple[Job | None, bool]:
        """-> a job, if there is one, and whether the phase is over."""
        trials = self.search.get_trials(deepcopy=False)
        if self.rounds_begun():
            trial = self.repetition(trials)
        elif self.open(trials):
            self.began = min(self.began, time.monotonic())
            trial = self.search.ask()
        else:
            trial = None
        if trial is None:
            running = any(t.state == TrialState.RUNNING for t in trials)
            return None, not running and not due(trials, start=False)
        cfg = self.plan.spaces[self.graph].suggest(trial)
        return self.job(self.search, trial, asdict(cfg), self.plan.seeds), False

    def repetition(self, trials: list[FrozenTrial]) -> Trial | None:
        """What is left to do in a search that is over: a trial that repeats another."""
        for trial in trials:
            waits = trial.state == TrialState.WAITING and "retry_of" in trial.user_attrs
            if waits and self.claim(trial):
                return Trial(self.search, trial._trial_id)
        return None

    def open(self, trials: list[FrozenTrial]) -> bool:
        """More of the search is wanted."""
        budget = self.plan.budget / len(self.plan.spaces)
        if time.monotonic() - self.began > budget:
            return False
        waiting = [t for t in trials if t.state == TrialState.WAITING]
        if any("retry_of" in t.user_attrs for t in waiting):
            return True
        return originals(trials) - len(waiting) < self.plan.trials

    def rounds_begun(self) -> bool:
        """The search has been closed, by this process or another."""
        name = f"{self.name}{ROUNDS}"
        return name in self.studies or self.exists(name)

    def settled(self) -> bool:
        """Nothing of search and rounds is left to another start, so that the winner is the last."""
        names = (self.name, f"{self.name}{ROUNDS}")
        studies = [self.studies[name] for name in names if name in self.studies]
        return not any(due(study.get_trials(deepcopy=False), start=True) for study in studies)

    def draw_round(self) -> tuple[Job | None, bool]:
        """The best of the search, and what it started from, on fresh seeds."""
        done = [t for t in self.search.get_trials(deepcopy=False) if t.value is not None]
        done = [t for t in done if t.state == TrialState.COMPLETE]
        if not done or not self.plan.best or not self.plan.fresh:
            return None, True
        return self.draw_fixed(ROUNDS, self.plan.fresh, lambda: self.chosen(done))

    def chosen(self, done: list[FrozenTrial]) -> list[FrozenTrial]:
        """The best trials with different configurations, and that of the base."""
        different: dict[str, FrozenTrial] = {}
        for trial in sorted(done, key=lambda t: (-(t.value or 0.0), t.number)):
            different.setdefault(configuration(trial.user_attrs["config"]), trial)
        base = different.get(self.base)
        best = list(different.values())[: self.plan.best]
        return best if base is None or base in best else [*best, base]

    def draw_final(self) -> tuple[Job | None, bool]:
        """The winner, scored on test nodes, on seeds that no choice has seen: those that follow."""
        if not self.plan.final or not self.settled():
            return None, True
        seeds = [seed + len(self.plan.fresh) for seed in self.plan.fresh]
        return self.draw_fixed(FINAL, seeds, self.winner)

    def winner(self) -> list[FrozenTrial]:
        found = report(self.store.optuna, self.plan.prefix)["graphs"][self.graph]["winner"]
        trials = self.search.get_trials(deepcopy=False)
        return [t for t in trials if found and t.number == found["number"]]

    def draw_fixed(
        self, phase: str, seeds: list[int], chosen: Callable[[], list[FrozenTrial]]
    ) -> tuple[Job | None, bool]:
        """A run of a chosen configuration on a fresh seed. Enqueuing is by key: done by several
        supervisors, or again after a crash, it adds nothing."""
        name = f"{self.name}{phase}"
        study = self.study(name)
        if name not in self.filled:
            self.filled.add(name)
            for trial in chosen():
                config = trial.user_attrs["config"]
                for seed in seeds:
                    attributes = {"of": trial.number, "seed": seed, "config": config}
                    self.store.enqueue(study, {}, attributes, f"{trial.number}, seed {seed}")
            self.reap()
        trials = study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.WAITING and self.claim(trial):
                config, seed = (trial.user_attrs[k] for k in ("config", "seed"))
                return self.job(study, Trial(study, trial._trial_id), config, [seed]), False
        return None, all(t.state in ENDED for t in trials) and not due(trials, start=False)

    def finished(self) -> bool:
        """Its last phase came to its end, here or in a command before, and nothing runs again."""
        last = f"{self.name}{FINAL if self.plan.final else ROUNDS}"
        if last not in self.studies or self.repeats():
            return False
        trials = self.studies[last].get_trials(deepcopy=False)
        return bool(trials) and all(t.state in ENDED for t in trials)

    def repeats(self) -> bool:
        """A trial waits that repeats another, or is about to."""
        for study in self.studies.values():
            trials = study.get_trials(deepcopy=False)
            waiting = (t for t in trials if t.state == TrialState.WAITING)
            if due(trials, start=False) or any("retry_of" in t.user_attrs for t in waiting):
                return True
        return False

    def claim(self, trial: FrozenTrial) -> bool:
        with suppress(UpdateFinishedTrialError):
            return self.store.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
        return False

    def job(self, study: optuna.Study, trial: Trial, config: Attributes, seeds: list[int]) -> Job:
        """What a worker is told of a trial, which is this process's from now on."""
        for name, value in {"config": config, **self.place}.items():
            trial.set_user_attr(name, value)
        key, final = f"{study.study_name}#{trial.number}", study.study_name.endswith(FINAL)
        job: Job = {"graph": self.graph, "study": study.study_name, "number": trial.number}
        job |= {"key": key, "config": config, "seeds": seeds, "final": final}
        job |= {"objective": self.plan.objective, "data": folder(self.plan)}
        job |= {"device": self.place["device"]}
        self.asked[key] = Asked(trial, job)
        return job

    def heard(self, job: Job, figures: Attributes) -> bool:
        """A report of a running trial -> whether it is to go on. Only a search prunes, and never
        what it started from, which the rounds are to compare with."""
        asked, step = self.asked[job["key"]], figures["step"]
        asked.share, asked.value = step / REPORTS, figures["value"]
        if job["study"] != self.name:
            return True
        with suppress(UpdateFinishedTrialError):
            if step > asked.told:  # a retry tells the same again
                asked.told = step
                asked.trial.report(figures["value"], step)
            return configuration(job["config"]) == self.base or not asked.trial.should_prune()
        return False  # taken for dead meanwhile, and begun again elsewhere

    def tell(self, outcome: Outcome) -> str:
        """Writes down how a trial ended -> its outcome."""
        job, answer = outcome.job, outcome.answer
        name, message = verdict(outcome)
        trial, study = self.asked.pop(job["key"]).trial, self.studies[job["study"]]
        # diverged, oom: what cannot be had is learnt from, as what is not worth having
        state = TrialState.PRUNED if name in ("pruned", "diverged", "oom") else TrialState.FAIL
        kept = {k: v for k, v in answer.items() if k not in ("value", "outcome", "message")}
        known = trial.user_attrs
        kept = {k: v for k, v in kept.items() if k not in known or known[k] != v}
        try:
            for key, value in {"outcome": name, "message": message, **kept}.items():
                trial.set_user_attr(key, value)
            if name == "ok":
                study.tell(trial.number, answer["value"])
            else:
                study.tell(trial.number, state=state)
        except UpdateFinishedTrialError:
            return "lost"
        return name

    def give_up(self) -> None:
        """Trials that an interruption cuts short run again when the sweep is continued."""
        for asked in self.asked.values():
            study, trial = self.studies[asked.job["study"]], asked.trial
            with suppress(UpdateFinishedTrialError):
                trial.set_user_attr("outcome", "lost")
                trial.set_user_attr("message", INTERRUPTED)
                study.tell(trial.number, state=TrialState.FAIL)
                self.again(study, study.get_trials(deepcopy=False)[trial.number])
        self.asked.clear()

    def remaining(self) -> int:
        """Runs of one seed that are still to come, at most."""
        if self.done:
            return 0
        ended = {
            name: [t for t in study.get_trials(deepcopy=False) if t.state in ENDED]
            for name, study in self.studies.items()
        }
        searched = originals(ended.pop(self.name))
        runs = 0 if ended else max(0, self.plan.trials - searched) * len(self.plan.seeds)
        later = (self.plan.best + 1 + self.plan.final) * len(self.plan.fresh)
        return runs + max(0, later - sum(map(originals, ended.values())))


def configuration(config: Attributes) -> str:
    """Equal for equal settings, wherever they are trained."""
    return json.dumps(settings(config), sort_keys=True)


def verdict(outcome: Outcome) -> tuple[str, str]:
    """The outcome's name in the record, and what happened."""
    if outcome.status == "ok":
        return outcome.answer["outcome"], outcome.answer["message"]
    if fault(outcome.status, outcome.message) == MEMORY:
        return "oom", outcome.message
    hint = ": out of memory, perhaps" if "SIGKILL" in outcome.message else ""
    return outcome.status, outcome.message + hint
