"""Third stories about several workloads at once: a node pool, a shared database, two waves of failures."""

from tests.outside.containers import CannotStart, Crashes, Starts, Unschedulable
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import third
from tests.outside.world import Load


@third(80)
def node_takes_five_workloads_with_it(world: World) -> None:
    """A node fails in minute 10 and takes the only pods of five of fourteen workloads with it, two of them critical; no
    other node has room until minute 40."""
    full = "0/9 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/unreachable: }, 8 Insufficient"
    for number in range(12):
        importance = "critical" if number < 2 else "high"
        one = world.workload(f"unit-{number:02}", importance=importance, pods=1, load=BUSY, age_days=60 - number)
        if number < 5:
            one.move_pod(0, 10 + number / 10, Unschedulable(f"{full} memory.", heals=1800 - number * 6))


@third(75)
def shared_database_refuses_connections(world: World) -> None:
    """From minute 10 to minute 35 six of ten workloads respond to 70 % of their requests with 500, since their database
    refuses connections; all pods are ready."""
    for number in range(8):
        one = world.workload(f"unit-{number}", importance="high", pods=2, load=Load(rpm=120), age_days=60 - number)
        if number < 6:
            one.gets(10 + number / 10, failed=0.7)
            one.gets(35, failed=0.0005)


@third(85)
def second_wave_during_a_first_one(world: World) -> None:
    """Six of seventeen workloads exit with 1 from minute 10 to minute 25; three others lose a secret in minute 20 and
    fail until the end, seen by their callers."""
    for number in range(15):
        one = world.workload(f"unit-{number:02}", importance="high", pods=1, load=BUSY, age_days=60 - number)
        if number < 6:
            one.all_pods(10, Crashes(1))
            one.all_pods(25, Starts(0, 0, 20))
        elif number < 9:
            one.move_pod(0, 20, CannotStart(message='secret "vault-token" not found'))
