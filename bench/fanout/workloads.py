"""What is asked of every server: the words for `stentor bench`."""
from dataclasses import dataclass

# Whatever a server makes of it, a run ends after so long; what it delivered until then is counted.
FOR = "4s"
SPIN = ["--spin", "--for", FOR]
WARM = SPIN + ["--warm-up", "300ms"]


@dataclass(frozen=True)
class Workload:
    title: str
    load: list
    yardstick: str = "floor"
    unit: str = "delivery"
    # Bytes of the data of an event.
    size: int = 200


def fan(readers, window, events):
    publishers = max(2, window)
    return WARM + publishing(window, events, publishers) + ["-n", str(readers)]


def publishing(window, events, publishers):
    return ["--window", str(window), "--events", str(events), "--publishers", str(publishers)]


# 8 MiB for each reader, so that what the slow ones leave unread fills every buffer.
BIG = WARM + publishing(4, 2000, 4)

WORKLOADS = {
    "idle10k": Workload(
        "10,000 readers that wait", ["-n", "10000", "--events", "0", "--settle", "3s"], unit="connect"),
    "lat1k": Workload("1,000 readers, 10 events a second", WARM + ["-n", "1000", "--rate", "10"]),
    "fan1k-w1": Workload("1,000 readers, one event at a time", fan(1000, 1, 1000)),
    "fan1k-w16": Workload("1,000 readers, 16 events at a time", fan(1000, 16, 1600), "floor-batch"),
    "fan10k-w1": Workload("10,000 readers, one event at a time", fan(10000, 1, 150)),
    "fan10k-w16": Workload("10,000 readers, 16 events at a time", fan(10000, 16, 160), "floor-batch"),
    "pub-0sub": Workload(
        "4 publishers, nobody reads", WARM + publishing(4, 80000, 4) + ["-n", "0"], unit="publish"),
    # With the warm-up under 32,768 in all: nchan loses what a topic gets beyond that within a second.
    "pub-1sub": Workload(
        "4 publishers, one reader",
        SPIN + ["--warm-up", "20ms"] + publishing(64, 30000, 4) + ["-n", "1"], unit="publish"),
    "topics1k": Workload(
        "4 publishers, 1,000 topics of one reader each",
        WARM + publishing(64, 80000, 4) + ["-n", "1000", "--topics", "1000"], unit="publish"),
    "slow-none": Workload("500 readers of 4 KiB events, 4 at a time", BIG + ["-n", "500"], "floor-batch", size=4096),
    "slow-20": Workload(
        "the same, and 20 that hardly read", BIG + ["-n", "520", "--slow", "20"], "floor-batch", size=4096),
    "churn": Workload(
        "readers that come and go, beside 1,000 that stay",
        SPIN + ["-n", "1000", "--churn", "20000", "--connecting", "32"], unit="connect"),
}
