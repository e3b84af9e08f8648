"""Claims about whose fault a failure is, and which seat a job goes to, each with a test below.

1. A dead process, a time-out, an error of CUDA or of the operating system are the machine's; memory
   that ran out is told apart; whatever else was raised is the settings'.
2. An OSError of any library is called one in the words that are kept.
3. A job that fails at one seat goes to another; with none left, to the same if its process died.
4. Three failures of the machine in a row retire a seat; a success between them begins anew.
5. A failure of unknown cause that another seat does not repeat counts against the first seat; one
   that it repeats counts against none. Meanwhile no more than three jobs are lent to the suspect.
6. So it is with a GPU's memory that runs out, which another program may fill; the host's is one.
"""

from __future__ import annotations

import socket

import pytest

from nodejepa_ext.workers.faults import MACHINE, MEMORY, SETTINGS, fault, words
from nodejepa_ext.workers.roster import Roster, Task, told

CUDA_FAILED = "RuntimeError: CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        ("died", "killed by SIGSEGV, twice", MACHINE),
        ("died", "exit code 1, twice: ModuleNotFoundError: No module named 'torch'", MACHINE),
        ("timeout", "took longer than 3 s", MACHINE),
        ("failed", CUDA_FAILED, MACHINE),
        ("failed", "AcceleratorError: CUDA error: unspecified launch failure", MACHINE),
        ("failed", "RuntimeError: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", MACHINE),
        ("failed", "RuntimeError: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", MACHINE),
        ("failed", "RuntimeError: No CUDA GPUs are available", MACHINE),
        ("failed", "OSError: [Errno 5] Input/output error", MACHINE),
        ("failed", "FileNotFoundError: [Errno 2] No such file or directory: 'x'", MACHINE),
        ("failed", "BrokenPipeError: [Errno 32] Broken pipe", MACHINE),
        ("failed", "MemoryError: ", MEMORY),
        ("failed", "OutOfMemoryError: CUDA out of memory. Tried to allocate", MEMORY),
        ("failed", "RuntimeError: [...] DefaultCPUAllocator: can't allocate memory: you", MEMORY),
        ("failed", "ValueError: heads = 3: expected a divisor of 256", SETTINGS),
        ("failed", "ValueError: a text that speaks of an OSError: of another", SETTINGS),
        ("failed", "RuntimeError: mat1 and mat2 shapes cannot be multiplied", SETTINGS),
        ("failed", "ZeroDivisionError: division by zero", SETTINGS),
        ("diverged", "epoch 2: the loss is not finite", SETTINGS),
    ],
)
def test_fault(status: str, message: str, expected: str) -> None:
    assert fault(status, message) == expected


def test_words() -> None:
    class Wire(socket.gaierror):
        pass

    assert words(ValueError("no")) == "ValueError: no"
    assert words(TimeoutError("late")) == "TimeoutError: late"
    assert fault("failed", words(Wire(5, "no such host"))) == MACHINE
    assert "Wire" in words(Wire(5, "no such host"))


def roster(seats: int, retire: int = 3) -> tuple[Roster, list[tuple[str, str]]]:
    retired: list[tuple[str, str]] = []
    names = [f"seat {i}" for i in range(seats)]
    return Roster(names, retire, lambda seat, why: retired.append((seat, why))), retired


def test_another_seat() -> None:
    crew, _ = roster(2)
    task = Task({"n": 1})
    assert crew.failed(0, task, "failed", "ValueError: no")
    assert crew.again(0) is None and crew.again(1) is task and crew.again(1) is None
    assert not crew.failed(1, task, "failed", "ValueError: no")
    alone, _ = roster(1)
    assert not alone.failed(0, Task({}), "failed", "ValueError: no")
    assert not alone.failed(0, Task({}), "timeout", "took longer than 3 s")
    died = Task({})
    assert alone.failed(0, died, "died", "killed by SIGKILL") and alone.again(0) is died
    assert not crew.failed(0, Task({}), "failed", "MemoryError: ")


def test_three_in_a_row() -> None:
    crew, retired = roster(2)
    for _ in range(2):
        assert crew.failed(0, Task({}), "failed", CUDA_FAILED)
    crew.succeeded(0, Task({}))
    assert crew.living() == [0, 1]
    for _ in range(3):
        assert crew.failed(0, Task({}), "failed", CUDA_FAILED)
    assert crew.living() == [1]
    assert retired == [("seat 0", f"3 failures of the machine in a row, last: {CUDA_FAILED}")]
    assert crew.seats[0].retired == retired[0][1]
    never, retired = roster(2, retire=0)
    for _ in range(9):
        never.failed(0, Task({}), "failed", CUDA_FAILED)
    assert never.living() == [0, 1] and not retired


def test_what_another_seat_does_without_is_the_first_seats() -> None:
    crew, retired = roster(2)
    for _ in range(3):
        assert crew.trusted(0)
        assert crew.failed(0, Task({}), "failed", "RuntimeError: odd")
    assert not crew.trusted(0) and crew.trusted(1)
    for count in (1, 2, 3):
        task = crew.again(1)
        assert task and len(retired) == 0
        crew.succeeded(1, task)
        assert len(retired) == (count == 3)
    assert "RuntimeError: odd, and not at another seat" in retired[0][1]


def test_what_another_seat_repeats_is_no_seats() -> None:
    crew, retired = roster(2)
    for _ in range(5):
        task = Task({})
        assert crew.failed(0, task, "failed", "ValueError: no") and crew.again(1) is task
        assert not crew.failed(1, task, "failed", "ValueError: no")
    assert crew.trusted(0) and not retired and crew.living() == [0, 1]


def test_a_gpu_that_another_program_fills() -> None:
    said = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total"
    crew, retired = roster(2)
    for _ in range(3):
        task = Task({})
        assert crew.failed(0, task, "failed", said) and crew.again(1) is task
        crew.succeeded(1, task)
    assert [seat for seat, _ in retired] == ["seat 0"] and crew.living() == [1]
    crew, retired = roster(2)
    for _ in range(5):  # too large for any
        task = Task({})
        assert crew.failed(0, task, "failed", said) and crew.again(1) is task
        assert not crew.failed(1, task, "failed", said)
    assert crew.living() == [0, 1] and crew.trusted(0)
    assert not crew.failed(0, Task({}), "failed", "MemoryError: ")
    assert not crew.failed(
        0, Task({}), "failed", "RuntimeError: DefaultCPUAllocator: can't allocate memory"
    )


def test_told() -> None:
    killed, said = ("died", "killed by SIGKILL"), ("died", "exit code 3: gave up")
    assert told([killed, killed]) == "killed by SIGKILL, twice"
    assert told([said, said]) == "exit code 3, twice: gave up"
    assert told([said, killed]) == "exit code 3, then killed by SIGKILL"
    assert told([killed, ("failed", "ValueError: no")]) == "ValueError: no"
    assert told([killed]) == "killed by SIGKILL"
