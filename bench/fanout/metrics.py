"""Metrics of runs. A row is one run: `{"server", "workload", "repeat", "report", "noisy"}`."""
import statistics
from dataclasses import dataclass

from .workloads import WORKLOADS


@dataclass(frozen=True)
class Metric:
    """One value of a run: its title, its path in the report, and its format."""
    title: str
    path: str
    factor: float = 1
    digits: int = 0
    # 1 if more is better, -1 if less is better, 0 if neither.
    better: int = 0

    def of(self, report):
        value = report
        for name in self.path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return None if value is None else value * self.factor

    def text(self, value):
        return "–" if value is None else f"{value:,.{self.digits}f}"


# `{unit}` is the unit of the workload, such as "delivery".
CPU = Metric("server CPU, µs per {unit}", "server.cpu_us_per_unit", 1, 2, -1)
MEMORY = Metric("server memory, bytes per subscriber", "server.memory_per_reader_bytes", 1, 0, -1)
KERNEL = Metric("kernel memory, bytes per subscriber, both ends", "connect.kernel_memory_per_reader_bytes")
RATE = Metric("deliveries/s", "delivery.per_second", 1, 0, 1)
P50 = Metric("latency p50, ms", "delivery.latency.p50", 1, 2, -1)
P99 = Metric("latency p99, ms", "delivery.latency.p99", 1, 2, -1)
LAST = Metric("latency to last subscriber p50, ms", "delivery.latency_to_last.p50", 1, 2, -1)
PUBLISHES = Metric("publishes/s", "publish.per_second", 1, 0, 1)
ACK50 = Metric("acknowledgement p50, ms", "publish.acknowledgement.p50", 1, 3, -1)
ACK99 = Metric("acknowledgement p99, ms", "publish.acknowledgement.p99", 1, 3, -1)
END = Metric("server memory at the end, MiB", "server.memory_end_bytes", 1 / 2**20, 1, -1)
LOAD = Metric("load generator CPU, µs per {unit}", "load.cpu_us_per_unit", 1, 2)

FAN_OUT = [CPU, RATE, P50, P99, LAST, ACK50, LOAD]
METRICS = {
    "idle10k": [MEMORY, KERNEL, CPU, Metric("connects/s", "connect.per_second", 1, 0, 1)],
    "lat1k": [CPU, P50, P99, LAST, ACK50, LOAD],
    "pub-0sub": [CPU, PUBLISHES, ACK50, ACK99, LOAD],
    "pub-1sub": [CPU, PUBLISHES, ACK50, ACK99, P50, LOAD],
    "topics1k": [CPU, PUBLISHES, ACK50, ACK99, P50, LOAD],
    "slow-none": [CPU, RATE, P50, P99, END, LOAD],
    "slow-20": [CPU, RATE, P50, P99, END, LOAD],
    "churn": [CPU, Metric("connects/s", "churn.per_second", 1, 0, 1),
              Metric("connect to response head p50, ms", "churn.head.p50", 1, 2, -1),
              Metric("connect to response head p99, ms", "churn.head.p99", 1, 2, -1), END, LOAD],
}


def metrics_of(workload):
    return METRICS.get(workload, FAN_OUT)


def title_of(metric, workload):
    return metric.title.format(unit=WORKLOADS[workload].unit)


def main_of(workload):
    """The main metric of a workload."""
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

    def median(self, workload, server, metric):
        values = [metric.of(row["report"]) for row in self.of(workload, server)]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    def ratio(self, workload, server, metric, to_server, to_workload=None):
        """Median, minimum and maximum of the ratios within one repeat; None if there are none."""
        base = {row["repeat"]: metric.of(row["report"]) for row in self.of(to_workload or workload, to_server)}
        ratios = [metric.of(row["report"]) / base[row["repeat"]] for row in self.of(workload, server)
                  if base.get(row["repeat"]) and metric.of(row["report"]) is not None]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None

    def faults(self, workload, server):
        """Numbers of lost, duplicated and disordered deliveries."""
        names = ("lost", "duplicated", "out_of_order")
        reports = [row["report"].get("delivery", {}) for row in self.of(workload, server)]
        return [sum(report.get(name, 0) for report in reports) for name in names]

    def repeats(self):
        return 1 + max((row["repeat"] for row in self.all), default=-1)
