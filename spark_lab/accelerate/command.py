"""`spark-lab accelerate NAME`: where a configuration for `accelerate launch` lies."""

from __future__ import annotations

import argparse
from pathlib import Path

from spark_lab.errors import UserError, unknown

FOLDER = Path(__file__).parent


def main(argv: list[str]) -> None:
    """Prints a path; without a name, what there is. Raises UserError for another name."""
    parser = argparse.ArgumentParser(prog="spark-lab accelerate", description=__doc__)
    parser.add_argument("name", nargs="?", help="ddp, fsdp2 or zero3")
    name = parser.parse_args(argv).name
    if name is None:
        print("\n".join(f"{path.stem:<6} {_purpose(path)}" for path in _files().values()))
    elif name not in _files():
        raise UserError(unknown(f"spark-lab accelerate {name}", name, _files()))
    else:
        print(_files()[name])


def _files() -> dict[str, Path]:
    return {path.stem: path for path in sorted(FOLDER.glob("*.yaml"))}


def _purpose(path: Path) -> str:
    """The first line of a file, which says what it is for."""
    return path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").rstrip(":")
