"""Known deviations of the exporter from the third expectations: what is wrong with it, until it is mended."""

from tests.outside.known import Known

KNOWN: dict[str, Known] = {
    "statistics_are_ten_minutes_late": Known(
        "Alerts about requests need requests in the last five minutes, which statistics that late never have.",
        ("missing: critical of teller",),
    ),
    "crash_every_fifty_minutes": Known(
        "Only restarts within half an hour count as repeated.", ("missing: warning of vision",)
    ),
    "requests_hang": Known(
        "Open requests without any response are no condition of an alert: what the API counts as concurrent was never "
        "compared with a server.",
        ("missing: critical of llama",),
    ),
}
