"""One run: a fresh server on core 0, the load on core 1."""
import json
import os
import resource
import subprocess
import tempfile
import time

from . import machine
from .servers import BEHIND, PORT, SERVERS, written

# Beyond this share of a core, taken by others while it ran, a run is a noisy one.
NOISE = 0.12
# A noisy run is made anew so often.
TRIES = 3


class CannotRun(Exception):
    """A server that cannot be measured, and why."""


def programs_of(given):
    """What the runs need to know of the arguments."""
    return {"stentor": os.path.abspath(given.stentor), "load": os.path.abspath(given.load or given.stentor),
            "binaries": os.path.abspath(given.binaries), "is_rough": given.rough}


def add_arguments(parser, target):
    """Those that every measuring has."""
    parser.add_argument("--rough", action="store_true", help="neither wait for a quiet machine nor make noisy runs anew")
    parser.add_argument("--stentor", default=f"{target}/release/stentor")
    parser.add_argument("--load", metavar="STENTOR", help="the stentor that makes the load, if it is another one")
    parser.add_argument("--binaries", default=f"{target}/release", help="where floor and broadcast are")


def measure(programs, server, workload):
    """A run without noise, if one can be had: `{"report", "noisy", "others_seconds"}`."""
    for _ in range(1 if programs["is_rough"] else TRIES):
        row = once(programs, server, workload)
        if not row["noisy"]:
            break
    return row


def once(programs, name, workload):
    server = SERVERS[name]
    with tempfile.TemporaryDirectory(prefix="stentor-bench-") as where, open(f"{where}/said", "w+") as log:
        os.chmod(where, 0o755)
        for directory in ("run", "log"):
            os.mkdir(f"{where}/{directory}")
        processes = []
        try:
            # Where Pushpin is to look for streams.
            with open(f"{where}/routes", "w") as routes:
                routes.write(f"* 127.0.0.1:{BEHIND}\n")
            for command in server.helpers + [server.command]:
                words = written(command, where, programs["binaries"], programs["stentor"])
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
    words = [program, "bench", *server.urls, *workload.load, "--size", str(workload.size + server.beside),
             "--pid", str(pid), "--json", "--limit", "100s"]
    used = lambda: resource.getrusage(resource.RUSAGE_CHILDREN)
    begun, ours, its, all_of_it = time.monotonic(), used(), machine.family(pid), machine.busy()[0]
    try:
        done = subprocess.run(["taskset", "-c", "1", *words], capture_output=True, text=True, timeout=150)
    except subprocess.TimeoutExpired as error:
        raise CannotRun("the load did not end") from error
    seconds = time.monotonic() - begun
    its, all_of_it = machine.family(pid) - its, machine.busy()[0] - all_of_it
    ours = used().ru_utime + used().ru_stime - ours.ru_utime - ours.ru_stime
    if not done.stdout:
        raise CannotRun(done.stderr.strip() or f"the load ended with {done.returncode}")
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
