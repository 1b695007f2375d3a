"""Third stories about requests: growing latency, one bad replica, retries, nights, scanners, requests that hang."""

from tests.outside.server import World
from tests.outside.third.register import scaling, third
from tests.outside.world import Load


@third(195)
def latency_grows_for_two_hours(world: World) -> None:
    """The responses of a service of high importance slow down step by step from minute 10 on, from 0.5 s to 24 s at the
    95th percentile; a restart in minute 150 ends it."""
    search = world.workload("search", importance="high", pods=2, load=Load(rpm=120))
    for step, seconds in enumerate((0.5, 1, 2, 4, 8, 12, 16, 20, 24)):
        search.gets(10 + 15 * step, p95=1000 * seconds, ms=400 * seconds, slow=min(0.05 * seconds, 0.9))
    search.gets(150, p95=264, ms=120, slow=0.001)


@third(90)
def one_replica_has_a_broken_gpu(world: World) -> None:
    """One of three replicas of a critical NIM responds to each request with 500 from minute 10 on, since its GPU is
    broken; its probe only checks the process, and it stays ready. A person deletes its pod in minute 55."""
    llama = world.workload(
        "llama", importance="critical", pods=3, kind="nim", bundle="gpu.l4.small", load=Load(rpm=300)
    )
    llama.gets(10, failed=0.33)
    llama.move_pod(1, 55)
    llama.gets(55, failed=0.0005)


@third(70)
def clients_retry_without_a_pause(world: World) -> None:
    """A short peak overloads a service of high importance in minute 10; its clients retry at once, fifteen times as
    many requests come as before, and 60 % of them fail although it grows to its maximum. The clients are stopped in
    minute 30."""
    search = world.workload("search", importance="high", pods=2, load=Load(rpm=60), autoscaling=scaling(2, 6))
    search.gets(10, rpm=900, failed=0.6, ms=8000, p95=29000, slow=0.9, concurrent=120)
    search.add_pods(12, 4)
    search.gets(30, rpm=60, failed=0.0005, ms=120, p95=264, slow=0.001, concurrent=1)
    for index in range(2, 6):
        search.remove_pod(index, 40)


@third(220)
def first_requests_of_the_morning(world: World) -> None:
    """No user calls a service of high importance from minute 10 to minute 130; then one request a minute comes, and for
    twenty minutes every seventh fails on a connection that went stale over night."""
    desk = world.workload("desk", importance="high", pods=2, load=Load(rpm=90))
    desk.gets(10, rpm=0)
    desk.gets(130, rpm=1, failed=0.15)
    desk.gets(150, rpm=1, failed=0)


@third(60)
def scanner_hides_an_outage(world: World) -> None:
    """From minute 10 on a scanner sends 1200 requests a minute to a service of high importance, which are rejected with
    404; at the same time each of the 60 requests of real callers fails with 500. The pods are ready."""
    desk = world.workload("desk", importance="high", pods=2, load=Load(rpm=60))
    desk.gets(10, rpm=1260, failed=60 / 1260, refused=1200 / 1260)


@third(60)
def requests_hang(world: World) -> None:
    """The engine of a critical NIM blocks in minute 10: requests are accepted and never finish, 300 of them are open,
    none is counted as served or failed, and the probes pass."""
    llama = world.workload(
        "llama", importance="critical", pods=2, kind="nim", bundle="gpu.l4.small", load=Load(rpm=120)
    )
    llama.gets(10, rpm=0, concurrent=300)
