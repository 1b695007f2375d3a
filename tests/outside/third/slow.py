"""Third stories that take hours: memory that grows, a crash now and then, a readiness that flaps."""

from tests.outside.containers import KilledOnce, NotReady
from tests.outside.server import World
from tests.outside.story import BUSY
from tests.outside.third.register import third


@third(800)
def memory_grows_for_six_hours(world: World) -> None:
    """One of two pods of a service of moderate importance is killed for its memory every six hours, in minutes 20, 380
    and 740; its memory grows between them from 45 % to 97 %."""
    resizer = world.workload("resizer", importance="moderate", pods=2, load=BUSY)
    resizer.memory.set(-6000, 0.5)
    for cycle in range(3):
        killed = 20 + 360 * cycle
        resizer.pod(0, killed, KilledOnce(restarts=1 + cycle))
        for step in range(36):
            resizer.memory.set((killed + 10 * step) * 60 + 1, 0.45 + 0.52 * step / 35)


@third(270)
def crash_every_fifty_minutes(world: World) -> None:
    """The only pod of a service of high importance exits with 139 every fifty minutes, five times, and is ready again
    after forty seconds."""
    vision = world.workload("vision", importance="high", pods=1, load=BUSY)
    for number in range(5):
        vision.pod(0, 20 + 50 * number, KilledOnce("Error", 139, 40, number + 1))


@third(110)
def readiness_of_one_pod_flaps(world: World) -> None:
    """For an hour one of two pods of a service of high importance is not ready for thirty seconds of each ninety; the
    other one serves everything."""
    editor = world.workload("editor", importance="high", pods=2, load=BUSY)
    for number in range(40):
        editor.pod(0, 10 + 1.5 * number, NotReady(30))
