"""Which tests one process runs, one after another, and which of these units begin first."""

import re

SPLIT = (
    "tests/alerts/test_mutants.py",
    "tests/alerts/test_pages.py",
    "tests/daemon/test_endurance.py",
    "tests/daemon/test_lifecycle.py",
)
"""Modules that are too long for one process: their tests of one story, alert or mode are a unit."""
GOOD_DAY = "tests/dashboards/test_queries.py::test_a_query_has_a_result_on_a_good_day"
UNITS = {"tests/dashboards/test_queries.py": "bad day", "tests/dashboards/test_pictures.py": "bad day"}
UNITS |= dict.fromkeys(
    (
        "tests/cli/test_state.py",
        "tests/e2e/test_postgresql.py",
        "tests/state/test_contract.py",
        "tests/state/test_postgresql.py",
    ),
    "postgresql",
)
"""Modules that share what is made once in a process."""
LONGEST = (
    "tests/outside/test_stories.py",
    "tests/e2e/test_direct_paging.py",
    "bad day",
    "tests/e2e/test_replicas.py",
    "tests/alerts/test_quiet_fleet.py",
    "tests/e2e/test_exemplars.py",
    "tests/failover/test_failover.py",
    "tests/e2e/test_prometheus.py",
    "tests/alerts/test_firing.py",
    "tests/alerts/test_alertmanager.py",
    "postgresql",
    "tests/e2e/test_facts.py",
    "tests/reliability/test_reliability.py",
    "tests/e2e/test_takeover.py",
    "tests/e2e/test_paging.py",
    GOOD_DAY,
    "tests/e2e/test_kill.py",
    "tests/alerts/test_quiet_week.py",
    "tests/alerts/test_stories.py",
    "tests/daemon/test_stories.py",
    "tests/cli/test_main.py",
    "tests/web/test_requests.py",
    "tests/paging/notify/test_notify.py",
    "tests/daemon/test_daemon.py",
)
"""Units that begin first, so that none of them is left over at the end. Those that compute and those that wait take
turns, so that all cores are busy.
"""


def unit(test: str) -> str:
    """The unit of a test, given as pytest names it: its module, unless the tables above say otherwise."""
    name, *parameters = re.split(r"[\[\]-]", test)
    module = name.partition("::")[0]
    if name == GOOD_DAY:
        return name
    return f"{module}[{parameters[0]}]" if parameters and module in SPLIT else UNITS.get(module, module)
