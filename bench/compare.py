#!/usr/bin/env python3
"""Stentor and others under the same load, one server after the other; prints tables in Markdown.

    cargo build --release -p stentor && cargo build --release -p stentor-peers
    apt-get install nginx-light libnginx-mod-nchan pushpin zurl       # without them their columns stay out
    bench/compare.py --repeats 5 --write docs/benchmarks.md

Linux with two quiet cores is needed: the server has core 0 for itself and the load, `stentor bench`, core 1.
Where that is allowed (as root, or with user namespaces) all of it has a network of its own. Every run has a
fresh server, begins when the machine is quiet, and is made anew, twice at most, when others took part of it
meanwhile. A repeat of everything takes about nine minutes.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time

from fanout import machine, plot, report
from fanout.figures import CPU, RATE, Rows, main_of
from fanout.run import CannotRun, add_arguments, measure, programs_of
from fanout.servers import SERVERS
from fanout.workloads import WORKLOADS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
MARK = "bench/compare.py"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="0 measures nothing, and tells what --results has")
    parser.add_argument("--server", action="append", choices=SERVERS, help="only this one; repeatable")
    parser.add_argument("--workload", action="append", choices=WORKLOADS, help="only this one; repeatable")
    parser.add_argument("--results", help="append each run to this file, and tell all that it has")
    parser.add_argument("--write", metavar="PAGE", help="write the tables between the marks of this page, "
                        "and the plot beside it")
    add_arguments(parser, TARGET)
    return parser.parse_args()


def absent_ones(servers, given):
    """Servers that cannot be measured here, and why."""
    absent = {server: "it needs " + " and ".join(SERVERS[server].missing())
              for server in servers if SERVERS[server].missing()}
    packages = sorted({package for server in absent for package in SERVERS[server].missing()})
    if packages:
        print(f"not here: apt-get install {' '.join(packages)}", file=sys.stderr)
    for program, build in ((given.stentor, "stentor"), (f"{given.binaries}/floor", "stentor-peers")):
        if not os.path.exists(program):
            sys.exit(f"there is no {program}: cargo build --release -p {build}")
    return absent


def setting_of(given):
    """Where the figures come from."""
    with tempfile.TemporaryDirectory(prefix="stentor-bench-") as where:
        times = machine.sync_times(where)
        machine_is = machine.describe(where)
    version = subprocess.run([given.stentor, "--version"], capture_output=True, text=True).stdout.strip()
    needed = sorted({package for server in SERVERS.values() for package in server.needs.values()})
    words = ["--repeats", str(given.repeats)]
    words += [word for server in given.server or [] for word in ("--server", server)]
    words += [word for workload in given.workload or [] for word in ("--workload", workload)]
    return {
        "command": shlex.join([MARK, *words]),
        "at": time.strftime("%Y-%m-%d"),
        "stentor": version,
        "packages": machine.packages(needed),
        "machine": machine_is,
        "sync": f"{times[len(times) // 2]:.2f} / {times[len(times) * 99 // 100]:.2f}",
    }


def run_all(given, servers, absent, keep):
    """Runs everything, a repeat at a time; each run is kept as soon as it is over."""
    programs = programs_of(given)
    for repeat in range(given.repeats):
        setting = setting_of(given)
        for workload in given.workload or WORKLOADS:
            for server in (server for server in servers if server not in absent):
                try:
                    row = measure(programs, server, WORKLOADS[workload])
                except CannotRun as why:
                    print(f"{repeat} {workload} {server}: {why}", file=sys.stderr)
                    if not any(row["server"] == server for row in keep.rows):
                        absent[server] = f"it did not run: {why}"
                    continue
                keep({"server": server, "workload": workload, "repeat": keep.first + repeat, "setting": setting, **row})
                tell(row, repeat, workload, server)


def tell(row, repeat, workload, server):
    figures = dict.fromkeys([main_of(workload), CPU, RATE])
    said = ", ".join(f"{figure.title} {figure.text(figure.of(row['report']))}" for figure in figures)
    print(repeat, workload, server, said, "(noisy)" if row["noisy"] else "", file=sys.stderr, flush=True)


class Keep:
    """The rows, in memory and in a file."""

    def __init__(self, path):
        self.path, self.rows = path, []
        if path and os.path.exists(path):
            with open(path) as file:
                self.rows = [json.loads(line) for line in file]
        self.first = Rows(self.rows).repeats()

    def __call__(self, row):
        self.rows.append(row)
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps(row) + "\n")


def main():
    given = arguments()
    machine.step_inside()
    servers = given.server or list(SERVERS)
    absent = absent_ones(servers, given)
    keep = Keep(given.results)
    run_all(given, servers, absent, keep)
    rows, name = Rows(keep.rows), "benchmarks.svg"
    if not rows.all:
        sys.exit("nothing was measured")
    text = report.page(rows, absent, name)
    if given.write:
        report.write_between(given.write, MARK, text)
        with open(os.path.join(os.path.dirname(os.path.abspath(given.write)), name), "w") as file:
            file.write(plot.svg(rows))
    print(text)


main()
