"""Known deviations of the exporter from the third expectations: what is wrong with it, until it is mended."""

from tests.outside.known import Known

KNOWN: dict[str, Known] = {}
