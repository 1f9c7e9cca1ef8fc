#!/usr/bin/env python3
"""`make demo`: the unsafe code in every crate that this workspace uses, counted as tasks.

Uses the server at TASKYARD_URL (http://127.0.0.1:8080 if not set) or, when none is there, one of its own on free ports
with data of its own. Ends with 0 if everything was counted and the one invented crate is dead.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from crates import INVENTED

HERE = Path(__file__).resolve().parent
QUEUE = "demo"
KIND = "count-unsafe"
COMMANDS_AT_ONCE = 8
ROWS = 20
FINISHED = {"completed", "dead", "canceled"}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--taskyard", default="taskyard", help="the program")
    taskyard = shutil.which(arguments.parse_args().taskyard) or sys.exit("there is no program taskyard")
    run = f"{time.time_ns():x}"
    with contextlib.ExitStack() as stack:
        url, key = running_server() or stack.enter_context(own_server(taskyard))
        environment = {**os.environ, "TASKYARD_URL": url, "TASKYARD_TOKEN": key}

        print("Importing a task for each crate of `cargo metadata` …", flush=True)
        watch = stack.enter_context(Watch(taskyard, environment, run))
        lines = subprocess.run(
            [sys.executable, HERE / "crates.py", "--run", run], check=True, stdout=subprocess.PIPE, cwd=HERE.parent
        ).stdout
        command = [taskyard, "task", "import", "-", "--queue", QUEUE, "--kind", KIND]
        subprocess.run(command, input=lines, check=True, env=environment)

        # All that a worker takes: a command that reads JSON and prints JSON.
        command = [taskyard, "work", "--queue", QUEUE, "--kind", KIND, "--concurrency", str(COMMANDS_AT_ONCE)]
        command += ["--log", "warn", "--", sys.executable, str(HERE / "count.py")]
        print("$ taskyard", *command[1:-2], "python3 demo/count.py", flush=True)
        began = time.monotonic()
        with open(os.devnull, "wb") as devnull:
            stack.enter_context(process(command, env=environment, stderr=devnull))
        watch.follow(lines.count(b"\n"))
        took = time.monotonic() - began

        tasks = list(read_back(taskyard, environment, run))
    return report(tasks, took)


def running_server():
    """The URL of a server that is there already, and the key to show there."""
    url = os.environ.get("TASKYARD_URL", "http://127.0.0.1:8080")
    place = urlsplit(url)
    try:
        socket.create_connection((place.hostname, place.port or 80), timeout=1).close()
    except OSError:
        return None
    key = os.environ.get("TASKYARD_TOKEN")
    if not key:
        try:
            key = json.loads(Path(".taskyard/account.json").read_text())["key"]
        except OSError:
            sys.exit(f"the server at {url} asks for a key; set TASKYARD_TOKEN")
    print(f"Using the server at {url}", flush=True)
    return url, key


@contextlib.contextmanager
def own_server(taskyard):
    """A server on free ports, with private data that are removed afterwards."""
    folder = tempfile.mkdtemp(prefix="taskyard-demo-")
    # PostgreSQL runs as another account when we are root; what is secret has modes of its own.
    os.chmod(folder, 0o755)
    command = [taskyard, "up", "--dir", f"{folder}/data", "--programs-dir", ".taskyard/servers"]
    command += ["--listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"]
    not_ours = {"DATABASE_URL", "REDIS_URL", "NATS_URL", "TASKYARD_TOKEN"}
    environment = {name: value for name, value in os.environ.items() if name not in not_ours}
    print("Starting a server for the demo …", flush=True)
    try:
        with process(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
            for line in server.stdout:
                if found := re.search(r"REST and gRPC +(\S+)", line):
                    break
            else:
                sys.exit("the server did not start")
            threading.Thread(target=server.stdout.read, daemon=True).start()
            yield found[1], json.loads(Path(folder, "data/account.json").read_text())["key"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def process(command, **options):
    """A program that is ended with us, and not by a Ctrl-C that is meant for us."""
    child = subprocess.Popen(command, start_new_session=True, **options)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait()


class Watch:
    """Follows `taskyard task watch`, and draws how far it has come."""

    def __init__(self, taskyard, environment, run):
        self.command = [taskyard, "task", "watch", "--queue", QUEUE, "--progress", "--json"]
        self.environment = environment
        self.run = run
        self.titles = {}
        self.states = {}
        self.progress = {}
        self.drawn = 0
        self.told = 0

    def __enter__(self):
        self.child = process(self.command, env=self.environment, stdout=subprocess.PIPE)
        self.stream = self.child.__enter__().stdout
        # From now on nothing is missed.
        first = json.loads(self.stream.readline() or b"{}")
        if first.get("type") != "opened":
            sys.exit("the watch was not opened")
        return self

    def __exit__(self, *failure):
        return self.child.__exit__(*failure)

    def follow(self, total):
        """Until all tasks of this run are finished."""
        for line in self.stream:
            self.take(json.loads(line))
            finished = sum(state in FINISHED for state in self.states.values())
            self.draw(finished, total)
            if finished == total:
                self.erase()
                return
        sys.exit("the watch has ended")

    def take(self, told):
        if told["type"] == "progress":
            self.progress[told["task_id"]] = (told["percent"], told["message"])
        elif told["type"] == "reset":
            sys.exit("the watch has a gap; please run it again")
        elif told["type"].startswith("task.") and told["labels"].get("run") == self.run:
            self.titles[told["task_id"]] = told["title"]
            self.states[told["task_id"]] = told["to_state"]
            if told["to_state"] != "running":
                self.progress.pop(told["task_id"], None)

    def draw(self, finished, total):
        if not sys.stdout.isatty():
            # A line now and then is enough for a log.
            if finished * 5 // total > self.told:
                self.told = finished * 5 // total
                print(f"  {finished} of {total} done", flush=True)
            return
        if self.drawn and time.monotonic() - self.drawn_at < 0.1 and finished < total:
            return
        running = [task for task, state in self.states.items() if state == "running"][:COMMANDS_AT_ONCE]
        bar = "#" * (finished * 40 // total)
        lines = [f"[{bar:<40}] {finished} of {total} crates"]
        for task in running:
            percent, message = self.progress.get(task, (0, ""))
            lines.append(f"  {self.titles[task][:36]:<36} {percent:>3} %  {message}")
        width = shutil.get_terminal_size().columns - 1
        self.erase()
        sys.stdout.write("".join(f"{line[:width]}\n" for line in lines))
        sys.stdout.flush()
        self.drawn, self.drawn_at = len(lines), time.monotonic()

    def erase(self):
        if self.drawn:
            sys.stdout.write(f"\x1b[{self.drawn}A\x1b[J")
            self.drawn = 0


def read_back(taskyard, environment, run):
    """All tasks of this run with their results: the list from the command line, the results over REST."""
    command = [taskyard, "task", "list", "--queue", QUEUE, "--kind", KIND, "--created-after", "1d", "--all", "--json"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout
    headers = {"Authorization": f"Bearer {environment['TASKYARD_TOKEN']}"}
    connection = http.client.HTTPConnection(urlsplit(environment["TASKYARD_URL"]).netloc, timeout=30)
    for line in listed.splitlines():
        task = json.loads(line)
        if task["labels"].get("run") != run:
            continue
        connection.request("GET", f"/v1/tasks/{task['id']}", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            sys.exit(f"GET /v1/tasks/{task['id']}: {answer.status} {body.decode()}")
        yield json.loads(body)
    connection.close()


def report(tasks, took):
    """The table, and whether all is as it should be."""
    counted = [(task["title"], task["result"]) for task in tasks if task["state"] == "completed"]
    dead = [task for task in tasks if task["state"] == "dead"]
    counted.sort(key=lambda row: sum(row[1]["unsafe"].values()), reverse=True)

    heads = ("CRATE", "LINES", "UNSAFE", "blocks", "fns", "impls", "traits")
    layout = "{:<34} {:>10} {:>8} {:>8} {:>8} {:>7} {:>7}"

    def row(name, results):
        kinds = [sum(result["unsafe"][kind] for result in results) for kind in ("block", "fn", "impl", "trait")]
        lines = sum(result["lines"] for result in results)
        return layout.format(name[:34], f"{lines:,}", f"{sum(kinds):,}", *(f"{kind:,}" for kind in kinds))

    print(f"\nThe {min(ROWS, len(counted))} crates with the most unsafe code:\n")
    print(layout.format(*heads))
    for title, result in counted[:ROWS]:
        print(row(title, [result]))
    print(row(f"all {len(counted)} crates", [result for _, result in counted]))
    without = sum(not any(result["unsafe"].values()) for _, result in counted)
    print(f"\n{without} of {len(counted)} have none. {len(tasks)} tasks took {took:.1f} s.")

    print("\nDead:")
    for task in dead:
        attempts = f"{task['attempt']} of {task['retry']['attempts_max']} attempts"
        print(f"  {task['title']}  {attempts}  {task['error']}")
    expected = [f"{INVENTED} 0.0.0"]
    if sorted(task["title"] for task in dead) != expected or len(counted) + len(dead) != len(tasks):
        print("\nOnly the invented crate should be dead, and everything else completed.", file=sys.stderr)
        return 1
    print("\nThat one is invented; everything else was counted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
