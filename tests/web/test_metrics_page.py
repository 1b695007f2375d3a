"""The bytes of /metrics and their gzip form."""

import gzip
import zlib
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from exporter.metrics.exposition import Body
from exporter.web.metrics_page import Publisher, deflated

bodies = st.lists(st.binary(max_size=400), min_size=1, max_size=4)


@given(st.lists(bodies, min_size=1, max_size=4), st.binary(max_size=50))
def test_after_any_changes_the_gzip_form_is_one_member_with_the_same_bytes(
    pages: list[list[bytes]], tail: bytes
) -> None:
    publisher = Publisher()
    for page in pages:
        families = [Body(str(n), b"h%d\n" % n, b"o%d\n" % n, (samples,)) for n, samples in enumerate(page)]
        made = publisher.publish(families, tail, tail)
        text = b"".join(b"h%d\n%s" % (n, samples) for n, samples in enumerate(page)) + tail
        openmetrics = b"".join(b"o%d\n%s" % (n, samples) for n, samples in enumerate(page)) + tail + b"# EOF\n"
        for plain, packed, expected in (
            (made.text, made.text_gzip, text),
            (made.openmetrics, made.openmetrics_gzip, openmetrics),
        ):
            assert b"".join(plain) == expected
            assert one_member(packed) == expected


def one_member(packed: bytes) -> bytes:
    """What a client gets that reads only one gzip member."""
    unpacker = zlib.decompressobj(31)
    out: bytes = unpacker.decompress(packed)
    assert unpacker.eof
    assert unpacker.unused_data == b""
    assert gzip.decompress(packed) == out
    return out


def test_only_families_with_other_samples_are_compressed_again() -> None:
    compressed: list[bytes] = []

    def counted(data: Sequence[bytes]) -> bytes:
        compressed.append(b"".join(data))
        return deflated(data)

    publisher = Publisher(counted)

    def published(*families: bytes) -> list[bytes]:
        compressed.clear()
        page = [Body(str(n), b"h", b"o", (bytes(bytearray(each)),)) for n, each in enumerate(families)]
        publisher.publish(page, b"tail", b"tail")
        return [each for each in compressed if not each.startswith(b"tail")]

    assert published(b"a" * 2000, b"b" * 2000) == [b"a" * 2000, b"b" * 2000]
    assert published(b"a" * 2000, b"b" * 2000) == []
    assert published(b"a" * 2000, b"c" * 2000) == [b"c" * 2000]


def test_small_parts_are_joined_and_large_ones_are_not_copied() -> None:
    large = b"x" * 300_000
    made = Publisher().publish([Body("a", b"h", b"h", (large,)), Body("b", b"i", b"i", (b"y",))], b"t", b"t")
    assert made.text == (b"h", large, b"iyt")
    assert made.text[1] is large
    assert made.sizes["text", "identity"] == 300_004
