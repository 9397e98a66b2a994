#!/usr/bin/env python3
"""What a reader, a delivery, a publish and a connect cost with ever more readers; fits, and what follows.

    cargo build --release -p stentor
    bench/scaling.py --repeats 3 --write docs/scaling.md

For each number of readers: memory of the server and the kernel for each that waits, processor time of a
connect, of a delivery with one event and with 16 under way, and of a publish that 0, 1 or all read. Server
on core 0, load on core 1, as bench/compare.py has it. A repeat takes about two minutes. `--json FILE` has all
that was measured.
"""
import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile

from fanout import machine
from fanout.report import table, write_between
from fanout.run import add_arguments, measure, programs_of
from fanout.servers import SERVERS
from fanout.workloads import WARM, Workload, publishing

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
MARK = "bench/scaling.py"
READERS = (1000, 5000, 10000, 15000)
# Deliveries of a run, so that small and large ones take about as long.
DELIVERIES = 1_500_000
# What the table of one large machine assumes.
CORES = 16
RATES = ((100_000, 1), (100_000, 10), (1_000_000, 0.1), (1_000_000, 1))


def workloads(readers):
    """What is measured with so many readers."""
    n = ["-n", str(readers)]
    return {
        "idle": Workload("wait", n + ["--events", "0", "--settle", "2s"], unit="connect"),
        "w1": Workload("one", WARM + publishing(1, DELIVERIES // 5 // readers, 2) + n),
        "w16": Workload("sixteen", WARM + publishing(16, max(160, DELIVERIES // readers), 16) + n),
    }


FEW = {
    "pub-0": Workload("nobody", WARM + publishing(4, 80000, 4) + ["-n", "0"], unit="publish"),
    "pub-1": Workload("one", WARM + publishing(64, 30000, 4) + ["-n", "1"], unit="publish"),
}


def figures(readers, reports):
    """What a set of runs says of so many readers."""
    idle, one, many = reports["idle"], reports["w1"], reports["w16"]
    cpu = lambda report: report["server"]["cpu_us_per_unit"]
    total = lambda report: (report["server"]["cpu_user_seconds"] + report["server"]["cpu_system_seconds"]) * 1e6
    return {
        "readers": readers,
        "user_bytes": idle["server"]["memory_per_reader_bytes"] * readers,
        "kernel_bytes": idle["connect"]["kernel_memory_per_reader_bytes"] * readers,
        "connect_us": cpu(idle) * readers,
        "event_w1_us": total(one) / one["publish"]["acknowledged"],
        "event_w16_us": total(many) / many["publish"]["acknowledged"],
    }


# What is fitted: name, unit, what the slope is of.
FITS = (
    ("user_bytes", "memory of the server, bytes"),
    ("kernel_bytes", "memory of the kernel, both ends, bytes"),
    ("connect_us", "connecting, µs of a core"),
    ("event_w1_us", "an event by itself, µs of a core"),
    ("event_w16_us", "an event of 16 under way, µs of a core"),
)


def line(points):
    """`a` and `b` of `cost = a + b * readers` by least squares, and the share of the spread they explain."""
    xs, ys = zip(*points)
    if len(set(xs)) < 2:
        return None
    b, a = statistics.linear_regression(xs, ys)
    return {"a": a, "b": b, "r2": statistics.correlation(xs, ys) ** 2 if len(set(ys)) > 1 else 1.0}


def page(given, data):
    text = f"`{data['command']}`; {data['machine']}; medians of {given.repeats} repeat(s)" + (
        f"; {data['noisy']} runs had to share the machine" if data["noisy"] else "") + ".\n\n"
    at = {readers: {name: statistics.median(point[name] for point in data["points"] if point["readers"] == readers)
                    for name, _ in FITS} for readers in given.readers}
    text += "**Measured**, for each reader (or delivery):\n\n"
    heads = [("user_bytes", "server, bytes", 0), ("kernel_bytes", "kernel, bytes, both ends", 0), ("connect_us", "connect, µs", 1),
             ("event_w1_us", "delivery of an event by itself, µs", 2), ("event_w16_us", "of 16 under way, µs", 2)]
    text += table(["readers", *(title for _, title, _ in heads)],
                  [[f"{readers:,}", *(f"{at[readers][name] / readers:,.{digits}f}" for name, _, digits in heads)]
                   for readers in given.readers])
    text += f"\nA publish that nobody reads takes {data['pub-0']:.2f} µs, one that one reader gets {data['pub-1']:.2f} µs with its delivery.\n"
    fits = data["fits"]
    if all(fits.values()):
        text += "\n**Fitted** to these, `cost = a + b × readers`:\n\n"
        text += table(["", "a", "b", "r²"], [[title, f"{fits[name]['a']:,.0f}", f"{fits[name]['b']:,.3g}", f"{fits[name]['r2']:.4f}"]
                                              for name, title in FITS])
        text += extrapolated(fits, data["pub-0"])
    return text


def extrapolated(fits, publish):
    """What one large machine would need, were everything to go on as it begins."""
    lines = []
    for readers, rate in RATES:
        of = lambda name: fits[name]["a"] + fits[name]["b"] * readers
        cores = (max(0, of("event_w1_us")) + publish) * rate / 1e6
        gibibytes = (of("user_bytes") + of("kernel_bytes") / 2) / 2**30
        lines.append([f"{readers:,}", f"{rate:g}", f"{readers * rate:,.0f}", f"{cores:.1f}", f"{gibibytes:.1f}",
                      f"{max(0, of('connect_us')) / 1e6 / CORES:.1f}"])
    head = ["readers", "events/s to each", "deliveries/s", "cores", "GiB, server and its end of the kernel's",
            f"s for all to connect, {CORES} cores"]
    return ("\n**Extrapolated**, not measured: the fits, carried on to one machine, events by themselves:\n\n" + table(head, lines))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--readers", type=int, nargs="+", default=READERS)
    parser.add_argument("--server", default="stentor", choices=SERVERS)
    parser.add_argument("--json", help="write all that was measured to this file")
    parser.add_argument("--write", metavar="PAGE", help="write the tables between the marks of this page")
    add_arguments(parser, TARGET)
    return parser.parse_args()


def main():
    given = arguments()
    machine.step_inside()
    programs = programs_of(given)
    points, few, noisy = [], {name: [] for name in FEW}, 0
    for repeat in range(given.repeats):
        for name, workload in FEW.items():
            row = measure(programs, given.server, workload)
            few[name].append(row["report"]["server"]["cpu_us_per_unit"])
            noisy += row["noisy"]
        for readers in given.readers:
            rows = {name: measure(programs, given.server, workload) for name, workload in workloads(readers).items()}
            points.append(figures(readers, {name: row["report"] for name, row in rows.items()}))
            noisy += sum(row["noisy"] for row in rows.values())
            print(repeat, {name: round(value, 2) for name, value in points[-1].items()}, file=sys.stderr, flush=True)
    words = ["--repeats", str(given.repeats), "--readers", *map(str, given.readers)]
    with tempfile.TemporaryDirectory() as where:
        machine_is = machine.describe(where)
    data = {
        "command": shlex.join([MARK, *words]), "machine": machine_is, "noisy": noisy, "points": points,
        **{name: statistics.median(values) for name, values in few.items()},
        "fits": {name: line([(point["readers"], point[name]) for point in points]) for name, _ in FITS},
    }
    if given.json:
        with open(given.json, "w") as file:
            json.dump(data, file, indent=1)
    text = page(given, data)
    if given.write:
        write_between(given.write, MARK, text)
    print(text)


main()
