"""Which bundles of the catalogue are offered to workloads."""

import pytest

from exporter.api.details import ComputeBundle, of_other_uses, offered
from exporter.api.models import Bundle


@pytest.mark.parametrize(
    ("uses", "is_offered"),
    [
        (("workload",), True),
        (("customModel", "workload"), True),
        (("WORKLOADS",), True),
        (("customJob",), False),
        (("job", "notebook"), False),
        (None, True),
        ((), True),
    ],
    ids=["workloads only", "other uses as well", "in another spelling", "jobs only", "several other uses",
        "uses that are not reported", "an empty list of uses"],
)  # fmt: skip
def test_a_bundle_is_offered_to_workloads_unless_it_has_only_other_uses(
    uses: tuple[str, ...] | None, is_offered: bool
) -> None:
    bundles = (ComputeBundle(id="other", use_cases=("workload",)), ComputeBundle(id="it", use_cases=uses))
    assert set(offered(bundles) or ()) == ({"other", "it"} if is_offered else {"other"})
    assert of_other_uses(bundles) == (frozenset() if is_offered else {"it"})


def test_an_offered_bundle_has_the_size_that_the_catalogue_reports() -> None:
    small = ComputeBundle(id="gpu.small", name="Small", cpu_count=2.0, memory_bytes=1024, gpu_count=1, gpu_maker="m")
    assert offered([small]) == {"gpu.small": Bundle("gpu.small", 2.0, 1024, 1, "m", None)}


@pytest.mark.parametrize("bundles", [(), (ComputeBundle(id="job", use_cases=("job",)),)], ids=["empty", "of jobs only"])
def test_a_catalogue_without_a_bundle_for_workloads_proves_nothing(bundles: tuple[ComputeBundle, ...]) -> None:
    assert offered(bundles) is None
