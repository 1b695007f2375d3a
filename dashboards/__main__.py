"""`python -m dashboards` writes the JSON of every dashboard into this folder and into the Helm chart.

A chart can only read files of its own folder.
"""

from __future__ import annotations

from pathlib import Path

from dashboards import FILES

FOLDERS = (Path(__file__).parent, Path(__file__).parent.parent / "deploy/helm/workload-exporter/files/dashboards")


def main() -> None:
    """Write the files."""
    for folder in FOLDERS:
        for name, text in FILES.items():
            (folder / name).write_text(text)


if __name__ == "__main__":
    main()
