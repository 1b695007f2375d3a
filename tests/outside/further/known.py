"""Known deviations of the exporter from the further expectations: what is wrong with it, until it is mended."""

from tests.outside.known import Known

KNOWN: dict[str, Known] = {
    "role_of_the_exporter_is_reduced": Known(
        "No ticket although every route of the workload but the list is refused.",
        ("missing: warning of teller",),
    ),
}
