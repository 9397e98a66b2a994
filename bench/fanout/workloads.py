"""The workloads: arguments of `stentor bench` for every server."""
from dataclasses import dataclass

# Maximum time of a run. A slower server is measured by what it has delivered by then.
FOR = "4s"
SPIN = ["--spin", "--for", FOR]
WARM = SPIN + ["--warm-up", "300ms"]


@dataclass(frozen=True)
class Workload:
    title: str
    load: list
    baseline: str = "floor"
    unit: str = "delivery"
    # Bytes of the data of an event.
    size: int = 200
    # Arguments of a short run before the measured one, so that memory which the server needs once is not measured.
    warm: list = None
    # Arguments of a second `stentor bench` that only reads meanwhile, its topic, and its number of connections.
    readers: list = None
    reader_topic: str = "0"
    reader_connections: int = 0


def fan(readers, window, events):
    publishers = max(2, window)
    return WARM + publishing(window, events, publishers) + ["-n", str(readers)]


def publishing(window, events, publishers):
    return ["--window", str(window), "--events", str(events), "--publishers", str(publishers)]


# 8 MiB for each subscriber, so that the unread data of slow ones fills every buffer.
BIG = WARM + publishing(4, 2000, 4)

WORKLOADS = {
    "idle10k": Workload(
        "10,000 idle subscribers", ["-n", "10000", "--events", "0", "--settle", "3s"], unit="connect"),
    "lat1k": Workload("1,000 subscribers, latency", WARM + ["-n", "1000", "--rate", "10"]),
    "fan1k-w1": Workload("1,000 subscribers, 1 event in flight", fan(1000, 1, 1000)),
    "fan1k-w16": Workload("1,000 subscribers, 16 events in flight", fan(1000, 16, 1600), "floor-batch"),
    "fan10k-w1": Workload("10,000 subscribers, 1 event in flight", fan(10000, 1, 150)),
    "fan10k-w16": Workload("10,000 subscribers, 16 events in flight", fan(10000, 16, 160), "floor-batch"),
    "pub-0sub": Workload(
        "4 publishers, no subscriber", WARM + publishing(4, 80000, 4) + ["-n", "0"], unit="publish"),
    # With the warm-up below 32,768 events in total: nchan loses what a topic gets beyond that within a second.
    "pub-1sub": Workload(
        "4 publishers, 1 subscriber",
        SPIN + ["--warm-up", "20ms"] + publishing(64, 30000, 4) + ["-n", "1"], unit="publish"),
    "topics1k": Workload(
        "4 publishers, 1,000 topics",
        WARM + publishing(64, 80000, 4) + ["-n", "1000", "--topics", "1000"], unit="publish"),
    "slow-none": Workload("500 subscribers, 4 KiB events", BIG + ["-n", "500"], "floor-batch", size=4096),
    "slow-20": Workload(
        "500 subscribers, 4 KiB events, 20 slow", BIG + ["-n", "520", "--slow", "20"], "floor-batch", size=4096),
    "churn": Workload(
        "1,000 subscribers, connection churn",
        SPIN + ["-n", "1000", "--churn", "20000", "--connecting", "32"], unit="connect"),
}
