"""What the reported state of a pod proves."""

import itertools

import pytest

from exporter.api.pods import PHASES, PodCondition, replica_ready
from tests.make import container, replica

CONTAINERS = ((), (None,), (True,), (True, None), (False, None))


@pytest.mark.parametrize(("phase", "containers"), [*itertools.product((None, "Evicting", *PHASES), CONTAINERS)])
def test_a_null_condition_never_makes_a_pod_ready(phase: str | None, containers: tuple[bool | None, ...]) -> None:
    for null in (PodCondition(type="Ready"), PodCondition(type="Ready", value="Unknown")):
        pod = replica(*(container(ready=each) for each in containers), status=phase, conditions=(null,))
        assert replica_ready(pod) is not True
