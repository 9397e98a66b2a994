#!/usr/bin/env python3
"""Measures streams over HTTP/2: memory of idle streams, CPU time of deliveries, and publishing beside readers.

    cargo build --release -p stentor && cargo build --release -p stentor-peers
    bench/http2.py --repeats 5 --write docs/benchmarks.md

`1000x1` is 1,000 connections with 1 stream each, `10x100` is 10 connections with 100 streams each. The server runs on
core 0, the load generator on core 1, as in bench/compare.py. The bare loops of that comparison run beside, with
1,000 HTTP/1.1 connections. With `--old FILE` (default: $STENTOR_OLD), another build of `stentor` is measured in the
same repeats. One repeat takes about two minutes, and a minute more with `--old`.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

from fanout import machine
from fanout.report import table, wrapped, write_between
from fanout.run import CannotRun, add_arguments, measure, programs_of
from fanout.servers import SERVERS
from fanout.workloads import SPIN, Workload, fan, publishing

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
MARK = "bench/http2.py"
OLD = "stentor-old"
SHAPES = {"1000x1": ["--http2"], "10x100": ["--http2", "--streams-per-connection", "100"]}
EVENTS = {1: 1000, 16: 1600}
READERS = {"h1": [], "h2": SHAPES["1000x1"]}
# Publishers beside the readers: to another topic as fast as possible, to the topic of the readers at a rate.
TOPICS = {
    "other": ["--warm-up", "300ms", *publishing(4, 20000, 4), "--for", "10s"],
    "same": ["--warm-up", "300ms", "--rate", "40", "--for", "6s", "--publishers", "4"],
}


def workloads():
    """The workloads of Stentor, and those of the bare loops."""
    idle = ["-n", "1000", "--events", "0", "--settle", "3s"]
    warm = ["-n", "4", "--http2", "--streams-per-connection", "2", "--events", "100", "--window", "4"]
    ours = {f"h2-idle-{name}": Workload(name, idle + shape, unit="connect", warm=warm)
            for name, shape in SHAPES.items()}
    for window, events in EVENTS.items():
        load = fan(1000, window, events)
        ours |= {f"h2-fan-{name}-w{window}": Workload(name, load + shape) for name, shape in SHAPES.items()}
        ours[f"fan1k-w{window}"] = Workload("HTTP/1.1", load)
    for topic, load in TOPICS.items():
        ours |= {f"pub-beside-1000-{readers}-{topic}": Workload(
                     readers, load + ["-n", "0"], unit="publish", readers=["-n", "1000", *shape],
                     reader_connections=1000, reader_topic="7" if topic == "other" else "0") for readers, shape in READERS.items()}
    bare = {"floor": {f"fan1k-w{window}": ours[f"fan1k-w{window}"] for window in EVENTS},
            "floor-batch": {"fan1k-w16": ours["fan1k-w16"]}}
    return ours, bare


class Rows:
    """All runs."""

    def __init__(self, path):
        self.path, self.all = path, []
        if path and os.path.exists(path):
            with open(path) as file:
                self.all = [json.loads(line) for line in file]
        self.first = 1 + max((row["repeat"] for row in self.all), default=-1)

    def add(self, row):
        self.all.append(row)
        if self.path:
            with open(self.path, "a") as file:
                file.write(json.dumps(row) + "\n")

    def values(self, server, workload, *path):
        """The value of each repeat."""
        found = {}
        for row in self.all:
            if (row["server"], row["workload"]) == (server, workload):
                value = row["report"]
                for name in path:
                    value = value.get(name) if isinstance(value, dict) else None
                if value is not None:
                    found[row["repeat"]] = value
        return found

    def median(self, *at):
        values = self.values(*at).values()
        return statistics.median(values) if values else None

    def ratio(self, above, below):
        """Median, minimum and maximum of the ratios within one repeat; None if there are none."""
        above, below = self.values(*above), self.values(*below)
        ratios = [above[repeat] / below[repeat] for repeat in above if below.get(repeat)]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def text(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}"


def ratio_text(ratio):
    return "–" if ratio is None else f"{ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})"


CPU = ("server", "cpu_us_per_unit")
ACK = ("publish", "acknowledgement", "p50")


def name_of(server):
    return "Stentor, other build" if server == OLD else SERVERS[server].title


def memory(rows, servers):
    """Memory of idle streams, split into a part per connection and a part per stream."""
    lines = []
    for server in servers:
        single, shared = (rows.median(server, f"h2-idle-{name}", "server", "memory_per_connection_bytes")
                          for name in SHAPES)
        stream = (shared - single) / 99 if single is not None and shared is not None else None
        lines.append([name_of(server), text(single), text(shared), text(stream),
                      text(single - stream if stream is not None else None)])
    return table(["server memory, bytes", "a connection with 1 idle stream", "a connection with 100",
                  "a stream (difference / 99)", "a connection without streams"], lines)


def fan_out(rows, servers):
    lines = []
    for window in EVENTS:
        floor, batch = ((name, f"fan1k-w{window}", *CPU) for name in ("floor", "floor-batch"))
        for base in (floor, batch):
            if rows.values(*base):
                lines.append([f"{name_of(base[0])}, HTTP/1.1, {window} in flight", text(rows.median(*base), 2),
                              ratio_text(rows.ratio(base, floor)), ratio_text(rows.ratio(base, batch)), "–", "–"])
        for server in servers:
            for name, workload in [("HTTP/1.1", f"fan1k-w{window}"), *(
                    (f"HTTP/2 {name}", f"h2-fan-{name}-w{window}") for name in SHAPES)]:
                at = lambda *path: (server, workload, *path)
                if not rows.values(*at(*CPU)):
                    continue
                faults = [rows.values(*at("delivery", kind)) for kind in ("lost", "duplicated", "out_of_order")]
                lines.append([f"{name_of(server)}, {name}, {window} in flight", text(rows.median(*at(*CPU)), 2),
                              ratio_text(rows.ratio(at(*CPU), floor)),
                              ratio_text(rows.ratio(at(*CPU), batch)), text(rows.median(*at("load", CPU[1])), 2),
                              " / ".join(str(sum(fault.values())) for fault in faults)])
    return table(["1,000 subscribers", "server CPU, µs per delivery", "ratio to the bare loop (min–max)",
                  "ratio to the batching loop", "load generator CPU, µs per delivery", "lost / duplicated / out of order"], lines)


def beside(rows, servers):
    lines = []
    for server in servers:
        for topic in TOPICS:
            h1, h2 = ((server, f"pub-beside-1000-{readers}-{topic}", *ACK) for readers in READERS)
            if not rows.values(*h1) and not rows.values(*h2):
                continue
            lines.append([f"{name_of(server)}, to {'another' if topic == 'other' else 'the same'} topic",
                          text(rows.median(*h1), 3), text(rows.median(*h2), 3), ratio_text(rows.ratio(h2, h1))])
    return table(["acknowledgement p50, ms, beside 1,000 readers", "HTTP/1.1 readers", "HTTP/2 readers",
                  "ratio (min–max)"], lines)


def page(rows, servers):
    setting, noisy = rows.all[-1]["setting"], sum(row["noisy"] for row in rows.all)
    repeats = 1 + max(row["repeat"] for row in rows.all)
    intro = wrapped(f"`{setting['command']}`, {setting['at']}; {setting['stentor']}; {setting['machine']}. Medians of "
                    f"{repeats} repeat(s). In {noisy} of {len(rows.all)} runs other programs used the machine.")
    tables = (part(rows, servers) for part in (memory, fan_out, beside))
    return f"{intro}\n\n" + "\n".join(tables)


def arguments():
    ours, _ = workloads()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3,
                        help="number of repeats (default: 3); 0 only prints --results")
    parser.add_argument("--workload", action="append", choices=ours, help="measure only this workload; repeatable")
    parser.add_argument("--old", metavar="FILE", default=os.environ.get("STENTOR_OLD"),
                        help="another build of `stentor` to measure beside (default: $STENTOR_OLD)")
    parser.add_argument("--results", help="append each run to this file, and report all runs in it")
    parser.add_argument("--write", metavar="PAGE", help="write the tables between the marks of this page")
    add_arguments(parser, TARGET)
    return parser.parse_args()


def plan_of(given):
    """The runs of one repeat: server, its programs, name of the workload, workload."""
    ours, bare = workloads()
    programs = programs_of(given)
    builds = {"stentor": programs}
    if given.old:
        builds[OLD] = programs | {"stentor": os.path.abspath(given.old)}
    for name in given.workload or ours:
        for server, bare_workloads in bare.items():
            if name in bare_workloads:
                yield server, programs, name, bare_workloads[name]
        for server, its in builds.items():
            yield server, its, name, ours[name]


def main():
    given = arguments()
    machine.step_inside()
    rows = Rows(given.results)
    with tempfile.TemporaryDirectory() as where:
        described = machine.describe(where)
    version = subprocess.run([given.stentor, "--version"], capture_output=True, text=True).stdout.strip()
    setting = {"command": shlex.join([MARK, "--repeats", str(given.repeats)]), "at": time.strftime("%Y-%m-%d"),
               "stentor": version, "machine": described}
    for repeat in range(given.repeats):
        for server, programs, name, workload in plan_of(given):
            try:
                row = measure(programs, "stentor" if server == OLD else server, workload)
            except CannotRun as why:
                print(f"{repeat} {name} {server}: {why}", file=sys.stderr)
                continue
            rows.add({"server": server, "workload": name, "repeat": rows.first + repeat, "setting": setting, **row})
            report = row["report"]
            shown = {"cpu": report["server"]["cpu_us_per_unit"], "ack": (report.get("publish") or {}).get("acknowledgement"),
                     "memory": report["server"].get("memory_per_connection_bytes")}
            shown["ack"] = shown["ack"] and shown["ack"]["p50"]
            print(repeat, name, server, {key: value and round(value, 3) for key, value in shown.items()},
                  "(noisy)" if row["noisy"] else "", file=sys.stderr, flush=True)
    if not rows.all:
        sys.exit("nothing was measured")
    present = {row["server"] for row in rows.all}
    result = page(rows, [server for server in ("stentor", OLD) if server in present])
    if given.write:
        write_between(given.write, MARK, result)
    print(result)


main()
