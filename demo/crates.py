#!/usr/bin/env python3
"""Writes a task for every crate that this workspace uses: JSON lines for `taskyard task import`.

The crates are those of `cargo metadata`, with their own descriptions and where cargo has put their source. One more is
invented, so that it is seen what becomes of work that cannot be done.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

INVENTED = "not-a-crate"


def crates():
    """Name, version, description and folder of each crate that is not ours."""
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], check=True, stdout=subprocess.PIPE
    )
    for package in json.loads(metadata.stdout)["packages"]:
        if package["source"] is not None:
            folder = Path(package["manifest_path"]).parent
            yield package["name"], package["version"], package["description"] or "", folder


def task(name, version, description, folder, run):
    return {
        "title": f"{name} {version}",
        "description": " ".join(description.split()),
        "payload": {"name": name, "version": version, "folder": str(folder)},
        # Each run of the demo is new work; without it, an import that is repeated would find the tasks there.
        "labels": {"run": run},
        "timeout_ms": 300_000,
        "retry": {"attempts_max": 2, "backoff_ms": 200, "backoff_max_ms": 1_000},
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--run", default="by-hand", help="a label that all tasks get")
    run = arguments.parse_args().run
    registry = None
    for name, version, description, folder in crates():
        registry = folder.parent
        print(json.dumps(task(name, version, description, folder, run)))
    if registry is None:
        sys.exit("cargo metadata names no crate from elsewhere")
    folder = registry / f"{INVENTED}-0.0.0"
    print(json.dumps(task(INVENTED, "0.0.0", "Invented: there is no source to count.", folder, run)))


if __name__ == "__main__":
    main()
