"""Which seat a job goes to: one that failed goes to another, and a seat that fails is retired.

Apart from supervisor.py, which starts processes: here nothing is started, and nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodejepa_ext.workers.faults import MACHINE, MEMORY, fault, of_a_gpu


@dataclass
class Task:
    """A job, and how it was tried."""

    job: dict[str, Any]  # a JSON object
    seats: list[int] = field(default_factory=list)  # that it failed at
    ends: list[tuple[str, str]] = field(default_factory=list)  # status and message of each
    asked: int | None = None  # the seat that is judged by how it ends elsewhere


@dataclass
class Seat:
    """A place for one worker process at a time."""

    name: str
    strikes: int = 0  # failures of the machine in a row
    questions: int = 0  # failures of which another seat is to show whose they were
    retired: str = ""  # why


class Roster:
    """The seats of a run. `retire`: failures of the machine in a row after which a seat gets no
    more jobs; 0: none does so. on_retire(seat's name, why) hears of each."""

    def __init__(
        self, names: Sequence[str], retire: int, on_retire: Callable[[str, str], None]
    ) -> None:
        self.seats = [Seat(name) for name in names]
        self.most, self.on_retire = retire, on_retire
        self.waiting: list[Task] = []  # to be tried again

    def living(self) -> list[int]:
        return [i for i, seat in enumerate(self.seats) if not seat.retired]

    def again(self, seat: int) -> Task | None:
        """A job for this seat that failed at another; at this one, where no other is left."""
        living = self.living()
        for task in self.waiting:
            if seat not in task.seats or not set(living) - set(task.seats):
                self.waiting.remove(task)
                return task
        return None

    def trusted(self, seat: int) -> bool:
        """Gets fresh jobs: not while as many of its failures are in question as retire it."""
        found = self.seats[seat]
        return not self.most or not found.questions or found.strikes + found.questions < self.most

    def succeeded(self, seat: int, task: Task) -> None:
        """The job is done here: where it failed before, the seat was at fault."""
        self.answered(task, guilty=task.asked != seat)
        self.seats[seat].strikes = 0

    def failed(self, seat: int, task: Task, status: str, message: str) -> bool:
        """-> whether the job is tried once more: one that took its process with it anyway, any
        other where there is another seat, but none that was too large for the host's memory."""
        kind, first = fault(status, message), not task.seats
        task.seats.append(seat)
        task.ends.append((status, message))
        self.answered(task, guilty=False)
        if kind == MACHINE:
            self.strike(seat, message)
        elsewhere = set(self.living()) - {seat}
        here = status == "died" and not self.seats[seat].retired
        alike = kind == MEMORY and not of_a_gpu(message)
        if not first or alike or not (elsewhere or here):
            return False
        if kind != MACHINE:
            task.asked = seat
            self.seats[seat].questions += 1
        self.waiting.append(task)
        return True

    def answered(self, task: Task, guilty: bool) -> None:
        """What was in question of the seat where a job failed first has become clear."""
        if task.asked is None:
            return
        seat, task.asked = task.asked, None
        self.seats[seat].questions -= 1
        if guilty:
            self.strike(seat, f"{task.ends[-1][1]}, and not at another seat")

    def strike(self, seat: int, message: str) -> None:
        """A failure of the machine."""
        found = self.seats[seat]
        found.strikes += 1
        if self.most and found.strikes >= self.most:
            self.retire(seat, f"{found.strikes} failures of the machine in a row, last: {message}")

    def retire(self, seat: int, why: str) -> None:
        if not self.seats[seat].retired:
            self.seats[seat].retired = why
            self.on_retire(self.seats[seat].name, why)

    def left(self) -> list[Task]:
        """Jobs that no seat is left for."""
        tasks, self.waiting = self.waiting, []
        return tasks


def told(ends: Sequence[tuple[str, str]]) -> str:
    """What is said of a job that was tried once or twice: of two deaths both, else the last."""
    (status, message), before = ends[-1], ends[:-1]
    if status != "died" or not before or before[-1][0] != "died":
        return message
    first = before[-1][1].partition(": ")[0]
    last, colon, said = message.partition(": ")
    both = f"{first}, twice" if first == last else f"{first}, then {last}"
    return f"{both}{colon}{said}"
