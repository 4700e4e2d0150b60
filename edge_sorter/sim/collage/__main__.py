"""`python -m edge_sorter.sim.collage`: write invented training pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edge_sorter.sim import collage


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m edge_sorter.sim.collage", description=collage.__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for images/ and labels/")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-mailers", action="store_true", help="leave out mailers, which look like flat cartons here"
    )
    options = parser.parse_args()
    collage.write(options.out, count=options.count, seed=options.seed, mailers=not options.no_mailers)
    sys.stderr.write(f"wrote {options.count} pictures to {options.out}\n")


if __name__ == "__main__":
    main()
