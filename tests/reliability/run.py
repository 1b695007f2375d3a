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
from tests.reliability.life import TOLERANCE_SECONDS, Life, live
from tests.reliability.observed import Observed
from tests.reliability.outcome import Outcome, outcome

BY_NAME = {fault.name: fault for faults in FAULTS.values() for fault in faults}


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
    return outcome(before, run, TOLERANCE_SECONDS)


def _measured(name: str) -> Outcome | str:
    logging.disable()
    try:
        return measured(BY_NAME[name])
    except BaseException:  # noqa: BLE001 — of a run in another process: shown in place of the outcome
        return traceback.format_exc(limit=-4)


def all_measured(names: Sequence[str], processes: int = os.cpu_count() or 1) -> Iterator[tuple[str, Outcome | str]]:
    """The outcome of each of these rows, as soon as it is known; a text, if the run failed."""
    # New processes, so that each has ports of its own.
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_measured, name): name for name in names}
        for each in as_completed(running):
            yield running[each], each.result()
