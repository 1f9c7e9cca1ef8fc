#!/usr/bin/env python3
"""Counts the lines and the unsafe code of one crate: what `taskyard work` runs for each task.

The payload comes on standard input, lines of progress and the result go to standard output. Whoever wants to write a
worker of their own finds all there is to it in `main`.
"""

import json
import re
import sys
from pathlib import Path

# Fails for now: the task is tried again while it has attempts left. Other codes fail for good.
TRY_AGAIN = 75

# Comments, strings and characters come first, so that what stands in them is passed over.
TOKEN = re.compile(
    r"""
      //[^\n]*
    | /\*.*?\*/
    | \b(?:b|c)?r(?P<hashes>\#*)".*?"(?P=hashes)
    | "(?:\\.|[^"\\])*"
    | '(?:\\[^\n]{1,9}|[^'\\\n])'
    | \bunsafe\s+(?:
          (?P<block>\{)
        | (?:extern\s+(?:"[^"\n]*"\s+)?)?(?P<fn>fn\s+\w)
        | (?P<impl>impl\b)
        | (?:auto\s+)?(?P<trait>trait\b)
      )
    """,
    re.DOTALL | re.VERBOSE,
)
KINDS = ("block", "fn", "impl", "trait")


def count(text):
    """How often `unsafe` opens a block, a function, an impl and a trait in Rust source."""
    counts = dict.fromkeys(KINDS, 0)
    # A block needs no space before its brace.
    for match in TOKEN.finditer(text.replace("unsafe{", "unsafe {")):
        kind = match.lastgroup
        if kind in counts:
            counts[kind] += 1
    return counts


def main():
    folder = Path(json.load(sys.stdin)["folder"])
    if not folder.is_dir():
        print(f"there is no source at {folder}", file=sys.stderr)
        return TRY_AGAIN
    files = sorted(folder.rglob("*.rs"))
    lines = 0
    totals = dict.fromkeys(KINDS, 0)
    told = 0
    for number, file in enumerate(files, 1):
        text = file.read_text(encoding="utf-8", errors="replace")
        lines += text.count("\n")
        for kind, found in count(text).items():
            totals[kind] += found
        percent = number * 100 // len(files)
        if percent >= told + 5:
            told = percent
            print(f"progress {percent} {file.relative_to(folder)}", flush=True)
    print(json.dumps({"files": len(files), "lines": lines, "unsafe": totals}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
