"""The machine: a network namespace, the load of other programs, and a description for the report."""
import os
import re
import resource
import socket
import subprocess
import sys
import time

# Share of CPU time in use above which the machine is not quiet.
QUIET = 0.04
INSIDE = "STENTOR_BENCH_NETWORK"


def step_inside():
    """Restarts this program in a new network namespace, if the system allows it."""
    if INSIDE in os.environ:
        if os.environ[INSIDE] == "own":
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            subprocess.run(["sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno"], stderr=subprocess.DEVNULL)
    else:
        for unshare in (["unshare", "-n"], ["unshare", "-rn"]):
            if subprocess.run(unshare + ["true"], stderr=subprocess.DEVNULL).returncode == 0:
                os.environ[INSIDE] = "own"
                os.execvp("unshare", unshare + [sys.executable] + sys.argv)
        os.environ[INSIDE] = "shared"
        print("cannot create a network namespace; using that of the machine", file=sys.stderr)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def busy():
    """Busy CPU seconds, and all CPU seconds, of the machine since its start."""
    with open("/proc/stat") as stat:
        ticks = [int(word) for word in stat.readline().split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / 100, sum(ticks) / 100


def wait_for_connections(port, count, limit=20):
    """Waits until `count` connections to a local port are established, and a second more."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        with open("/proc/net/tcp") as file:
            lines = [line.split() for line in file.readlines()[1:]]
        if sum(line[2].endswith(f":{port:04X}") and line[3] == "01" for line in lines) >= count:
            time.sleep(1)
            return True
        time.sleep(0.1)
    return False


def wait_for_quiet(limit=60):
    """Waits until the machine is quiet, at most `limit` seconds."""
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        before = busy()
        time.sleep(0.6)
        after = busy()
        if after[0] - before[0] < QUIET * (after[1] - before[1]):
            return


def wait_for_port(port, process, seconds=5):
    """Returns True once a server listens on the port, False if its process ends or the time is over."""
    for _ in range(int(seconds / 0.05)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        if process.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def cpu_seconds(pid):
    """CPU seconds of a process and its descendants."""
    parents, seconds = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(name)] = int(fields[1])
        seconds[int(name)] = (int(fields[11]) + int(fields[12])) / 100
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return sum(seconds.get(member, 0) for member in members)


def sync_times(directory, count=200):
    """Times in milliseconds, sorted, that this disk takes to sync an appended page."""
    path = os.path.join(directory, "sync")
    times = []
    with open(path, "wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - begun) * 1000)
    os.remove(path)
    return sorted(times)


def field_of(path, name):
    with open(path) as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "unknown")


def describe(directory):
    """The machine in one line."""
    gibibytes = int(field_of("/proc/meminfo", "MemTotal").split()[0]) / 2**20
    find = ["findmnt", "-n", "-o", "FSTYPE", "-T", directory]
    kind = subprocess.run(find, capture_output=True, text=True).stdout.strip()
    with open("/proc/sys/kernel/osrelease") as release:
        kernel = re.match(r"[0-9.]*[0-9]", release.read())[0]
    processor = field_of("/proc/cpuinfo", "model name")
    return f"{processor}, {os.cpu_count()} cores, {gibibytes:.0f} GiB, Linux {kernel}, {kind}"


def packages(names):
    """Versions of the installed ones of these Debian packages."""
    query = ["dpkg-query", "-W", "-f", "${Package} ${source:Upstream-Version}\n", *names]
    try:
        return subprocess.run(query, capture_output=True, text=True).stdout.split("\n")[:-1]
    except OSError:
        return []
