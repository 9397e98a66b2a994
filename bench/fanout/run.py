"""One run: a new server on core 0, the load generator on core 1."""
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time

from . import machine
from .servers import BEHIND, PORT, SERVERS, prepare

# Share of a core used by other programs above which a run is noisy.
NOISE = 0.12
# Maximum number of attempts to get a run without noise.
TRIES = 3


class CannotRun(Exception):
    """A server that cannot be measured, with the reason."""


def programs_of(given):
    """The arguments that the runs need."""
    return {"stentor": os.path.abspath(given.stentor), "load": os.path.abspath(given.load or given.stentor),
            "binaries": os.path.abspath(given.binaries), "is_rough": given.rough}


def add_arguments(parser, target):
    """Adds the arguments that all measurements share."""
    parser.add_argument("--rough", action="store_true",
                        help="do not wait for a quiet machine, and do not repeat noisy runs")
    parser.add_argument("--stentor", metavar="FILE", default=f"{target}/release/stentor", help="server to measure")
    parser.add_argument("--load", metavar="STENTOR", help="`stentor` that generates the load (default: --stentor)")
    parser.add_argument("--binaries", default=f"{target}/release", help="directory of the binaries floor and broadcast")


def measure(programs, server, workload):
    """The first run without noise, or the last one: `{"report", "noisy", "others_seconds"}`."""
    for _ in range(1 if programs["is_rough"] else TRIES):
        row = once(programs, server, workload)
        if not row["noisy"]:
            break
    return row


def once(programs, name, workload):
    server = SERVERS[name]
    with tempfile.TemporaryDirectory(prefix="stentor-bench-") as where, open(f"{where}/output", "w+") as log:
        os.chmod(where, 0o755)
        for directory in ("run", "log"):
            os.mkdir(f"{where}/{directory}")
        processes = []
        try:
            # The address at which Pushpin finds its origin.
            with open(f"{where}/routes", "w") as routes:
                routes.write(f"* 127.0.0.1:{BEHIND}\n")
            for command in server.helpers + [server.command]:
                words = prepare(command, where, programs["binaries"], programs["stentor"])
                processes.append(subprocess.Popen(["taskset", "-c", "0", *words], stdout=log, stderr=log))
            if not machine.wait_for_port(PORT, processes[-1]):
                log.seek(0)
                raise CannotRun((log.read().strip().splitlines() or ["it does not listen"])[0])
            time.sleep(1.5 if server.helpers else 0.3)
            if not programs["is_rough"]:
                machine.wait_for_quiet()
            return put_under_load(programs["load"], server, processes[-1].pid, workload)
        finally:
            for process in reversed(processes):
                stop(process)


def put_under_load(program, server, pid, workload):
    if workload.warm:
        words = [program, "bench", *server.urls, *workload.warm]
        subprocess.run(["taskset", "-c", "1", *words], check=True, timeout=60, stdout=subprocess.DEVNULL)
        time.sleep(0.5)
    if not workload.readers:
        return report_of(program, server, pid, workload)
    url = server.urls[server.urls.index("--url") + 1].replace("{topic}", workload.reader_topic)
    words = [program, "bench", "--url", url, *workload.readers, "--for", "140s", "--json"]
    readers = subprocess.Popen(["taskset", "-c", "1", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        if not machine.wait_for_connections(PORT, workload.reader_connections):
            raise CannotRun("the readers do not connect")
        row = report_of(program, server, pid, workload, readers.pid)
    finally:
        readers.terminate()
        output, _ = readers.communicate()
    connect = json.loads(output)["connect"]
    if connect["cut"] or connect["connected"] < workload.reader_connections:
        raise CannotRun(f"readers: {connect['connected']} connected, {connect['cut']} were cut")
    return row


def ahead(words):
    """Words that let a program run before others of its core, where this system allows it."""
    return ["chrt", "--fifo", "1", *words] if os.geteuid() == 0 and shutil.which("chrt") else words


def report_of(program, server, pid, workload, beside=None):
    """Runs the load generator. `beside` is the process of the readers, whose CPU time is not noise."""
    words = [program, "bench", *server.urls, *workload.load, "--size", str(workload.size + server.extra_bytes),
             "--pid", str(pid), "--json", "--limit", "100s"]
    used = lambda: resource.getrusage(resource.RUSAGE_CHILDREN)
    known = lambda: machine.cpu_seconds(pid) + (machine.cpu_seconds(beside) if beside else 0)
    begun, ours, its, all_of_it = time.monotonic(), used(), known(), machine.busy()[0]
    words = ["taskset", "-c", "1", *words]
    try:
        done = subprocess.run(ahead(words) if beside else words, capture_output=True, text=True, timeout=150)
    except subprocess.TimeoutExpired as error:
        raise CannotRun("the load generator did not end") from error
    seconds = time.monotonic() - begun
    its, all_of_it = known() - its, machine.busy()[0] - all_of_it
    ours = used().ru_utime + used().ru_stime - ours.ru_utime - ours.ru_stime
    if not done.stdout:
        raise CannotRun(done.stderr.strip() or f"the load generator ended with {done.returncode}")
    report = json.loads(done.stdout)
    report.pop("samples")
    others = all_of_it - its - ours
    return {"report": report, "noisy": others > NOISE * max(seconds, 1), "others_seconds": round(others, 2)}


def stop(process):
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
