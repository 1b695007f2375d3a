"""`python -m dashboards` writes every dashboard beside this file."""

from __future__ import annotations

from pathlib import Path

from dashboards import FILES


def main() -> None:
    """Write them."""
    for name, text in FILES.items():
        (Path(__file__).parent / name).write_text(text)


if __name__ == "__main__":
    main()
