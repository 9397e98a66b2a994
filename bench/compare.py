#!/usr/bin/env python3
"""Compares Stentor with other servers under the same load, one server at a time. Prints tables in Markdown.

    cargo build --release -p stentor && cargo build --release -p stentor-peers
    apt-get install nginx-light libnginx-mod-nchan pushpin zurl    # optional
    bench/compare.py --repeats 5 --write docs/benchmarks.md

Requires Linux with two idle cores: the server runs on core 0, the load generator `stentor bench` on core 1.
If the system allows it (as root, or with user namespaces), everything runs in a new network namespace. Every run
starts a new server and waits until the machine is quiet. A run is repeated, at most twice, if other programs used
the machine meanwhile. One repeat of everything takes about nine minutes.
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
from fanout.metrics import CPU, RATE, Rows, main_of, title_of
from fanout.run import CannotRun, add_arguments, measure, programs_of
from fanout.servers import SERVERS
from fanout.workloads import WORKLOADS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
MARK = "bench/compare.py"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3,
                        help="number of repeats (default: 3); 0 only prints --results")
    parser.add_argument("--server", action="append", choices=SERVERS,
                        help="measure only this server; repeatable")
    parser.add_argument("--workload", action="append", choices=WORKLOADS,
                        help="measure only this workload; repeatable")
    parser.add_argument("--results", help="append each run to this file, and report all runs in it")
    parser.add_argument("--write", metavar="PAGE", help="write the tables between the marks of this page, "
                        "and the chart into its directory")
    add_arguments(parser, TARGET)
    return parser.parse_args()


def absent_ones(servers, given):
    """The servers that cannot be measured here, with the reason."""
    absent = {server: "it needs " + " and ".join(SERVERS[server].missing())
              for server in servers if SERVERS[server].missing()}
    packages = sorted({package for server in absent for package in SERVERS[server].missing()})
    if packages:
        print(f"some servers are not installed: apt-get install {' '.join(packages)}", file=sys.stderr)
    for program, build in ((given.stentor, "stentor"), (f"{given.binaries}/floor", "stentor-peers")):
        if not os.path.exists(program):
            sys.exit(f"{program} does not exist; run `cargo build --release -p {build}`")
    return absent


def setting_of(given):
    """The setting of the results: command, date, versions, machine."""
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


def run_all(given, servers, absent, results):
    """Runs everything, one repeat after the other. Each run is saved as soon as it is over."""
    programs = programs_of(given)
    for repeat in range(given.repeats):
        setting = setting_of(given)
        for workload in given.workload or WORKLOADS:
            for server in (server for server in servers if server not in absent):
                try:
                    row = measure(programs, server, WORKLOADS[workload])
                except CannotRun as why:
                    print(f"{repeat} {workload} {server}: {why}", file=sys.stderr)
                    if not any(row["server"] == server for row in results.rows):
                        absent[server] = f"it did not run: {why}"
                    continue
                results.add({"server": server, "workload": workload, "repeat": results.first + repeat,
                             "setting": setting, **row})
                print_row(row, repeat, workload, server)


def print_row(row, repeat, workload, server):
    metrics = dict.fromkeys([main_of(workload), CPU, RATE])
    values = [f"{title_of(metric, workload)}: {metric.text(metric.of(row['report']))}" for metric in metrics]
    print(repeat, workload, server, "; ".join(values), "(noisy)" if row["noisy"] else "", file=sys.stderr, flush=True)


class Results:
    """The rows, in memory and in a file."""

    def __init__(self, path):
        self.path, self.rows = path, []
        if path and os.path.exists(path):
            with open(path) as file:
                self.rows = [json.loads(line) for line in file]
        self.first = Rows(self.rows).repeats()

    def add(self, row):
        self.rows.append(row)
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps(row) + "\n")


def main():
    given = arguments()
    machine.step_inside()
    servers = given.server or list(SERVERS)
    absent = absent_ones(servers, given)
    results = Results(given.results)
    run_all(given, servers, absent, results)
    rows, name = Rows(results.rows), "benchmarks.svg"
    if not rows.all:
        sys.exit("nothing was measured")
    text = report.page(rows, absent, name)
    if given.write:
        report.write_between(given.write, MARK, text)
        with open(os.path.join(os.path.dirname(os.path.abspath(given.write)), name), "w") as file:
            file.write(plot.svg(rows))
    print(text)


main()
