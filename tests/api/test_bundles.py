"""Which bundles of the catalogue are offered to workloads."""

import pytest

from exporter.api.details import ComputeBundle, offered


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
    assert offered(bundles) == frozenset({"other", "it"} if is_offered else {"other"})


@pytest.mark.parametrize("bundles", [(), (ComputeBundle(id="job", use_cases=("job",)),)], ids=["empty", "of jobs only"])
def test_a_catalogue_without_a_bundle_for_workloads_proves_nothing(bundles: tuple[ComputeBundle, ...]) -> None:
    assert offered(bundles) is None
