"""Compare two results of ``rate_sweep.py``, and fail if the second one has lost goodput.

.venv/bin/python loadtests/compare_sweeps.py before/sweep.json after/sweep.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sweep_results import compare


def main() -> int:
    """Print the comparison; return 1 if the knee or the goodput at a rate fell by more than the tolerated loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--max-loss", type=float, default=0.1, help="tolerated loss, as a fraction")
    args = parser.parse_args()
    lines, losses = compare(json.loads(args.before.read_text()), json.loads(args.after.read_text()), args.max_loss)
    print(f"{'':<24} {'before':>9} {'after':>9}   change")
    print("\n".join(lines))
    for loss in losses:
        print(f"FAILED: {loss}")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
