"""Files for other programs and for people: dashboards, provisioning, manifests, documents. Rules and runbooks are not
among them, because they are generated.

A wheel has them in the folder `assets` of the package, with their paths in the repository; a clone has only those.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
PATTERNS: tuple[str, ...] = (
    "alerts/alertmanager*",
    "dashboards/*.json",
    "deploy/grafana/**/*",
    "deploy/kubernetes/*",
    "deploy/otel-collector.example.yaml",
    "deploy/workload-exporter.service",
    "docs/*.md",
)
"""What the wheel contains of the repository, as in pyproject.toml."""


def asset_files(package: Path = _PACKAGE) -> dict[str, Path]:
    """The files by their paths in the repository, sorted; empty if the installation has neither folder."""
    packaged, clone = package / "assets", package.parent
    if not packaged.is_dir() and not (clone / "pyproject.toml").is_file():
        return {}
    root, patterns = (packaged, ("**/*",)) if packaged.is_dir() else (clone, PATTERNS)
    found = {file.relative_to(root).as_posix(): file for each in patterns for file in root.glob(each) if file.is_file()}
    return dict(sorted(found.items()))
