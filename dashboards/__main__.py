"""`python -m dashboards` writes the JSON of every dashboard into this folder."""

from __future__ import annotations

from pathlib import Path

from dashboards import FILES


def main() -> None:
    """Write the files."""
    for name, text in FILES.items():
        (Path(__file__).parent / name).write_text(text)


if __name__ == "__main__":
    main()
