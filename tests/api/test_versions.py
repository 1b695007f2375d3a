"""Versions of the platform are read from any plausible response; what is not a version is not shown."""

import pytest

from exporter.api.versions import MAX_BYTES, api_version, platform_release


@pytest.mark.parametrize(
    ("body", "version"),
    [
        (b'{"major": 2, "minor": 49, "versionString": "2.49.0"}', "2.49.0"),
        (b'{"major": 2, "minor": 49}', "2.49"),
        (b'{"major": 2}', ""),
        (b'{"versionString": "<script>"}', ""),
        (b"[]", ""),
        (b"<html>", ""),
        (b"", ""),
    ],
)
def test_the_version_of_the_api(body: bytes, version: str) -> None:
    assert api_version(body) == version


@pytest.mark.parametrize(
    ("body", "release"),
    [
        (b"11.14.0\n", "11.14.0"),
        (b'"v11.14.0"', "11.14.0"),
        (b'{"release": "11.14.0", "version": "9.9"}', "11.14.0"),
        (b'{"apiVersion": "2.49", "platform": {"version": "11.14.0-rc.1"}}', "11.14.0-rc.1"),
        (b'{"versions": {"ui": 3}, "name": "x"}', ""),
        (b'{"version": null}', ""),
        (b"<!doctype html><title>11.14.0</title>", ""),
        (b"11.14.0" + b" " * MAX_BYTES, ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
)
def test_the_release_of_the_platform(body: bytes, release: str) -> None:
    assert platform_release(body) == release
