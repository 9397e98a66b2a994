"""Figures out of rows: a row is a run, `{"server", "workload", "repeat", "report", "noisy"}`."""
import statistics
from dataclasses import dataclass

from .workloads import WORKLOADS


@dataclass(frozen=True)
class Figure:
    """One thing that is told of a run: where it stands in the report, and how it is written."""
    title: str
    path: str
    factor: float = 1
    digits: int = 0
    # Whether more of it is better, less of it is, or neither.
    better: int = 0

    def of(self, report):
        value = report
        for name in self.path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return None if value is None else value * self.factor

    def text(self, value):
        return "–" if value is None else f"{value:,.{self.digits}f}"


CPU = Figure("server µs each", "server.cpu_us_per_unit", 1, 2, -1)
# Where a publish reaches one reader, the two are the same in number.
MEMORY = Figure("bytes a reader", "server.memory_per_reader_bytes", 1, 0, -1)
KERNEL = Figure("kernel bytes a reader, both ends", "connect.kernel_memory_per_reader_bytes")
RATE = Figure("deliveries/s", "delivery.per_second", 1, 0, 1)
P50 = Figure("p50 ms", "delivery.latency.p50", 1, 2, -1)
P99 = Figure("p99 ms", "delivery.latency.p99", 1, 2, -1)
LAST = Figure("to the last, p50 ms", "delivery.latency_to_last.p50", 1, 2, -1)
PUBLISHES = Figure("publishes/s", "publish.per_second", 1, 0, 1)
ACK50 = Figure("ack p50 ms", "publish.acknowledgement.p50", 1, 3, -1)
ACK99 = Figure("ack p99 ms", "publish.acknowledgement.p99", 1, 3, -1)
END = Figure("MiB at the end", "server.memory_end_bytes", 1 / 2**20, 1, -1)
LOAD = Figure("load µs each", "load.cpu_us_per_unit", 1, 2)

FAN = [CPU, RATE, P50, P99, LAST, ACK50, LOAD]
TOLD = {
    "idle10k": [MEMORY, KERNEL, CPU, Figure("connects/s", "connect.per_second", 1, 0, 1)],
    "lat1k": [CPU, P50, P99, LAST, ACK50, LOAD],
    "pub-0sub": [CPU, PUBLISHES, ACK50, ACK99, LOAD],
    "pub-1sub": [CPU, PUBLISHES, ACK50, ACK99, P50, LOAD],
    "topics1k": [CPU, PUBLISHES, ACK50, ACK99, P50, LOAD],
    "slow-none": [CPU, RATE, P50, P99, END, LOAD],
    "slow-20": [CPU, RATE, P50, P99, END, LOAD],
    "churn": [CPU, Figure("connects/s", "churn.per_second", 1, 0, 1),
              Figure("to the head, p50 ms", "churn.head.p50", 1, 2, -1),
              Figure("p99 ms", "churn.head.p99", 1, 2, -1), END, LOAD],
}


def told(workload):
    return TOLD.get(workload, FAN)


def main_of(workload):
    """What a workload is about."""
    return {"idle10k": MEMORY, "lat1k": P50}.get(workload, CPU)


class Rows:
    """All runs, by workload and server."""

    def __init__(self, rows):
        self.all = [row for row in rows if row["workload"] in WORKLOADS]
        self.noisy = sum(row["noisy"] for row in self.all)

    def of(self, workload, server):
        return [row for row in self.all if (row["workload"], row["server"]) == (workload, server)]

    def servers(self, workload):
        return list(dict.fromkeys(row["server"] for row in self.all if row["workload"] == workload))

    def median(self, workload, server, figure):
        values = [figure.of(row["report"]) for row in self.of(workload, server)]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def ratio(self, workload, server, figure, to_server, to_workload=None):
        """Median, least and greatest of the ratios within one repeat, if there are any."""
        base = {row["repeat"]: figure.of(row["report"]) for row in self.of(to_workload or workload, to_server)}
        ratios = [figure.of(row["report"]) / base[row["repeat"]] for row in self.of(workload, server)
                  if base.get(row["repeat"]) and figure.of(row["report"]) is not None]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def faults(self, workload, server):
        """How much was lost, doubled, and out of order."""
        names = ("lost", "duplicated", "out_of_order")
        reports = [row["report"].get("delivery", {}) for row in self.of(workload, server)]
        return [sum(report.get(name, 0) for report in reports) for name in names]

    def repeats(self):
        return 1 + max((row["repeat"] for row in self.all), default=-1)
