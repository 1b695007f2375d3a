"""Runs rows of the table, and compares each with an undisturbed run."""

from __future__ import annotations

import functools
import gc
import logging
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path

from tests.reliability.fault import Fault
from tests.reliability.faults import FAULTS
from tests.reliability.faults.process import FAULTS as PROCESS
from tests.reliability.life import UNIT, Life, live
from tests.reliability.observed import Observed
from tests.reliability.outcome import Outcome, outcome
from tests.reliability.process import REAL_UNIT, lived_together

BY_NAME = {fault.name: fault for faults in FAULTS.values() for fault in faults}
TOLERANCE, REAL_TOLERANCE = 1.5, 2.5
"""Units by which times may differ: a change is noticed at the next poll. Real processes poll at other times, too."""


@functools.cache
def calm(prepare: Callable[[Life], None]) -> Observed:
    """An undisturbed run."""
    with tempfile.TemporaryDirectory() as folder:
        return live(Path(folder), Fault("none", lambda _: nullcontext(), prepare=prepare))


def measured(fault: Fault) -> Outcome:
    """What a fault costs."""
    before = calm(fault.undisturbed)
    with tempfile.TemporaryDirectory() as folder:
        run = live(Path(folder), fault)
    gc.collect()
    return outcome(before, run, TOLERANCE * UNIT)


def _measured(name: str) -> Outcome | str:
    logging.disable()
    try:
        return measured(BY_NAME[name])
    except BaseException:  # noqa: BLE001 — of a run in another process: shown in place of the outcome
        return traceback.format_exc(limit=-4)


def _processes_measured(names: Sequence[str]) -> dict[str, Outcome | str]:
    """The outcomes of faults of real processes, which run at the same time in real time."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            before, runs = lived_together(Path(folder), [BY_NAME[name] for name in names])
    except BaseException:  # noqa: BLE001 — as above
        return dict.fromkeys(names, traceback.format_exc(limit=-4))
    return {
        name: "".join(traceback.format_exception(run, limit=-4))
        if isinstance(run, Exception)
        else outcome(before, run, REAL_TOLERANCE * REAL_UNIT)
        for name, run in runs.items()
    }


def all_measured(names: Sequence[str], processes: int = os.cpu_count() or 1) -> Iterator[tuple[str, Outcome | str]]:
    """The outcome of each of these rows, as soon as it is known; a text, if the run failed."""
    real = [fault.name for fault in PROCESS if fault.name in names]
    context = multiprocessing.get_context("spawn")  # new processes, so that each has ports of its own
    with ProcessPoolExecutor(processes, context) as pool, ProcessPoolExecutor(1, context) as beside:
        together = beside.submit(_processes_measured, real) if real else None  # these mostly wait
        running = {pool.submit(_measured, name): name for name in names if name not in real}
        for each in as_completed(running):
            yield running[each], each.result()
        if together is not None:
            yield from together.result().items()
