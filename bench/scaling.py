#!/usr/bin/env python3
"""Measures how costs grow with the number of subscribers, fits straight lines, and extrapolates.

    cargo build --release -p stentor
    bench/scaling.py --repeats 3 --write docs/scaling.md

For each number of subscribers it measures the memory of the server and of the kernel per idle subscriber, and the CPU
time of a connect and of a delivery, with 1 and with 16 events in flight. It also measures a publish with no and with 1
subscriber. The server runs on core 0, the load generator on core 1, as in bench/compare.py. A repeat takes about two
minutes. `--json FILE` writes all measurements.
"""
import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile

from fanout import machine
from fanout.report import table, wrapped, write_between
from fanout.run import add_arguments, measure, programs_of
from fanout.servers import SERVERS
from fanout.workloads import WARM, Workload, publishing

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TARGET = os.path.abspath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
MARK = "bench/scaling.py"
SUBSCRIBERS = (1000, 5000, 10000, 15000)
# Deliveries of a run, so that runs with few and with many subscribers take about as long.
DELIVERIES = 1_500_000
# Cores of the extrapolated machine.
CORES = 16
# Subscribers, and events per second to each of them, that are extrapolated.
RATES = ((100_000, 1), (100_000, 10), (1_000_000, 0.1), (1_000_000, 1))


def workloads(subscribers):
    """The workloads for one number of subscribers."""
    n = ["-n", str(subscribers)]
    return {
        "idle": Workload("idle", n + ["--events", "0", "--settle", "2s"], unit="connect"),
        "w1": Workload("1 in flight", WARM + publishing(1, DELIVERIES // 5 // subscribers, 2) + n),
        "w16": Workload("16 in flight", WARM + publishing(16, max(160, DELIVERIES // subscribers), 16) + n),
    }


PUBLISHES = {
    "pub-0": Workload("no subscriber", WARM + publishing(4, 80000, 4) + ["-n", "0"], unit="publish"),
    "pub-1": Workload("1 subscriber", WARM + publishing(64, 30000, 4) + ["-n", "1"], unit="publish"),
}


def costs(subscribers, reports):
    """The total costs with one number of subscribers."""
    idle, one, many = reports["idle"], reports["w1"], reports["w16"]
    cpu = lambda report: report["server"]["cpu_us_per_unit"]
    total = lambda report: (report["server"]["cpu_user_seconds"] + report["server"]["cpu_system_seconds"]) * 1e6
    return {
        "readers": subscribers,
        "user_bytes": idle["server"]["memory_per_reader_bytes"] * subscribers,
        "kernel_bytes": idle["connect"]["kernel_memory_per_reader_bytes"] * subscribers,
        "connect_us": cpu(idle) * subscribers,
        "event_w1_us": total(one) / one["publish"]["acknowledged"],
        "event_w16_us": total(many) / many["publish"]["acknowledged"],
    }


# The fitted costs: name, title.
FITS = (
    ("user_bytes", "server memory, bytes"),
    ("kernel_bytes", "kernel memory, both ends, bytes"),
    ("connect_us", "connecting all, µs of one core"),
    ("event_w1_us", "an event, 1 in flight, µs of one core"),
    ("event_w16_us", "an event, 16 in flight, µs of one core"),
)


def line(points):
    """`a` and `b` of `cost = a + b * subscribers` by least squares, and r²."""
    xs, ys = zip(*points)
    if len(set(xs)) < 2:
        return None
    b, a = statistics.linear_regression(xs, ys)
    return {"a": a, "b": b, "r2": statistics.correlation(xs, ys) ** 2 if len(set(ys)) > 1 else 1.0}


def page(given, data):
    text = wrapped(f"`{data['command']}`; {data['machine']}; medians of {given.repeats} repeat(s)" + (
        f"; in {data['noisy']} runs other programs used the machine" if data["noisy"] else "") + ".") + "\n\n"
    at = {readers: {name: statistics.median(point[name] for point in data["points"] if point["readers"] == readers)
                    for name, _ in FITS} for readers in given.readers}
    text += "**Measured**, per subscriber (or per delivery):\n\n"
    columns = [("user_bytes", "server memory, bytes", 0), ("kernel_bytes", "kernel memory, both ends, bytes", 0),
               ("connect_us", "connect, µs", 1), ("event_w1_us", "delivery, 1 event in flight, µs", 2),
               ("event_w16_us", "delivery, 16 events in flight, µs", 2)]
    text += table(["subscribers", *(title for _, title, _ in columns)],
                  [[f"{readers:,}", *(f"{at[readers][name] / readers:,.{digits}f}" for name, _, digits in columns)]
                   for readers in given.readers])
    text += (f"\nA publish without subscribers takes {data['pub-0']:.2f} µs; "
             f"with 1 subscriber {data['pub-1']:.2f} µs, delivery included.\n")
    fits = data["fits"]
    if all(fits.values()):
        text += "\n**Fitted** to these measurements, `cost = a + b × subscribers`:\n\n"
        text += table(["cost", "a", "b", "r²"],
                      [[title, f"{fits[name]['a']:,.0f}", f"{fits[name]['b']:,.3g}", f"{fits[name]['r2']:.4f}"]
                       for name, title in FITS])
        text += extrapolated(fits, data["pub-0"])
    return text


def extrapolated(fits, publish):
    """The needs of one large machine, if all costs grow linearly."""
    lines = []
    for subscribers, rate in RATES:
        of = lambda name: fits[name]["a"] + fits[name]["b"] * subscribers
        cores = (max(0, of("event_w1_us")) + publish) * rate / 1e6
        gibibytes = (of("user_bytes") + of("kernel_bytes") / 2) / 2**30
        lines.append([f"{subscribers:,}", f"{rate:g}", f"{subscribers * rate:,.0f}", f"{cores:.1f}", f"{gibibytes:.1f}",
                      f"{max(0, of('connect_us')) / 1e6 / CORES:.1f}"])
    head = ["subscribers", "events/s to each", "deliveries/s", "cores",
            "memory, GiB (server, and its half of the kernel's)",
            f"s to connect all, {CORES} cores"]
    return ("\n**Extrapolated**, not measured: the fitted lines, for one machine with 1 event in flight:\n\n"
            + table(head, lines))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="number of repeats (default: 3)")
    parser.add_argument("--readers", type=int, nargs="+", default=SUBSCRIBERS,
                        help="numbers of subscribers")
    parser.add_argument("--server", default="stentor", choices=SERVERS, help="server to measure")
    parser.add_argument("--json", help="write all measurements to this file")
    parser.add_argument("--write", metavar="PAGE", help="write the tables between the marks of this page")
    add_arguments(parser, TARGET)
    return parser.parse_args()


def main():
    given = arguments()
    machine.step_inside()
    programs = programs_of(given)
    points, publishes, noisy = [], {name: [] for name in PUBLISHES}, 0
    for repeat in range(given.repeats):
        for name, workload in PUBLISHES.items():
            row = measure(programs, given.server, workload)
            publishes[name].append(row["report"]["server"]["cpu_us_per_unit"])
            noisy += row["noisy"]
        for readers in given.readers:
            rows = {name: measure(programs, given.server, workload) for name, workload in workloads(readers).items()}
            points.append(costs(readers, {name: row["report"] for name, row in rows.items()}))
            noisy += sum(row["noisy"] for row in rows.values())
            print(repeat, {name: round(value, 2) for name, value in points[-1].items()}, file=sys.stderr, flush=True)
    words = ["--repeats", str(given.repeats), "--readers", *map(str, given.readers)]
    with tempfile.TemporaryDirectory() as where:
        machine_is = machine.describe(where)
    data = {
        "command": shlex.join([MARK, *words]), "machine": machine_is, "noisy": noisy, "points": points,
        **{name: statistics.median(values) for name, values in publishes.items()},
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
