"""Short constructors of values for tests."""

from typing import Any

from exporter.api.models import Workload
from exporter.api.pods import Container, LastState, Pods, Proton, Replica, StatusDetails
from exporter.fleet.ledger import Ledger
from exporter.fleet.workload_state import WorkloadState


def sight(
    workload: Workload, since: float = 1.0, first: float = 1.0, *, account: str = "acme", **parts: Any
) -> WorkloadState:
    """The state of a workload; `parts` are further fields of `WorkloadState`."""
    return WorkloadState(account, workload, Ledger(first, since), **parts)


def container(name: str = "main", **facts: Any) -> Container:
    """A running and ready container; `facts` are other fields, and `ended` is (reason, exit code, time)."""
    ended = facts.pop("ended", None)
    last = LastState(reason=ended[0], exit_code=ended[1], finished_at=ended[2]) if ended else None
    defaults: dict[str, Any] = {"name": name, "status": "running", "ready": True, "reason": "", "last_state": last}
    return Container(**(defaults | facts))


def replica(*containers: Container, name: str = "pod", **facts: Any) -> Replica:
    """A running pod."""
    return Replica(**({"name": name, "status": "running", "containers": containers} | facts))


def pods(*replicas: Replica, proton: str = "p", **facts: Any) -> Pods:
    """The pods of one proton."""
    return Pods((Proton(**({"id": proton, "status": "running"} | facts)),), {proton: StatusDetails(replicas=replicas)})
