#!/usr/bin/env python3
"""Stentor and nginx with nchan side by side, under `stentor bench`; prints tables in Markdown.

    cargo build --release -p stentor
    apt-get install nginx-light libnginx-mod-nchan && systemctl disable --now nginx
    python3 bench/compare.py [--repeats 3] [--seconds 10] [--server NAME] [--workload NAME]

Linux with `taskset` and two cores is needed: the server has core 0 for itself, the load core 1. Each run has a
fresh server; servers take turns, and the figures are medians.
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PORT = 9280
URL = f"http://127.0.0.1:{PORT}"
TOPICS = [f"--url={URL}/topics/t{{topic}}", f"--publish={URL}/topics/t{{topic}}"]
NCHAN = [f"--url={URL}/sub/t{{topic}}", f"--publish={URL}/pub/t{{topic}}"]

# What is started, and how it is addressed; @DIR@ is a fresh directory, @STENTOR@ the binary.
SERVERS = {
    "Stentor, in memory": (["@STENTOR@", "serve", "--listen", f"127.0.0.1:{PORT}", "--memory"], TOPICS),
    "Stentor, on disk": (["@STENTOR@", "serve", "--listen", f"127.0.0.1:{PORT}", "--data", "@DIR@/data"], TOPICS),
    "nginx with nchan": (["nginx", "-c", "@DIR@/nginx.conf"], NCHAN),
}
WORKLOADS = {
    "1,000 readers, 50 events/s": ["-n", "1000", "--rate", "50"],
    "1,000 readers, one event at a time": ["-n", "1000", "--window", "1"],
    "1,000 readers, 16 events at a time": ["-n", "1000", "--window", "16"],
    "5,000 readers, 16 events at a time": ["-n", "5000", "--window", "16"],
}
NGINX = """
daemon off; pid @DIR@/nginx.pid; error_log @DIR@/error.log warn;
worker_processes 1; worker_rlimit_nofile 20000;
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
events { worker_connections 19000; use epoll; multi_accept on; }
http {
  access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 600s;
  nchan_shared_memory_size 256M; client_body_temp_path @DIR@/body;
  server {
    listen 127.0.0.1:@PORT@ backlog=4096;
    location ~ ^/pub/(\\w+)$ {
      nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 100; nchan_message_timeout 300s;
    }
    location ~ ^/sub/(\\w+)$ {
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;
    }
  }
}
"""


def is_listening():
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def run(stentor, server, workload, seconds):
    """One run on a fresh server; its report."""
    command, urls = SERVERS[server]
    with tempfile.TemporaryDirectory(prefix="compare-") as where, open(f"{where}/log", "w") as log:
        os.chmod(where, 0o755)
        with open(f"{where}/nginx.conf", "w") as conf:
            conf.write(NGINX.replace("@DIR@", where).replace("@PORT@", str(PORT)))
        command = [word.replace("@DIR@", where).replace("@STENTOR@", stentor) for word in command]
        process = subprocess.Popen(["taskset", "-c", "0"] + command, stdout=log, stderr=log)
        try:
            for _ in range(100):
                if is_listening():
                    break
                time.sleep(0.05)
            load = [stentor, "bench", *urls, *WORKLOADS[workload], "--for", f"{seconds}s"]
            load += ["--pid", str(process.pid), "--json"]
            done = subprocess.run(["taskset", "-c", "1"] + load, capture_output=True, text=True, timeout=seconds * 10 + 120)
            if not done.stdout:
                sys.exit(f"{server}, {workload}: {done.stderr}")
            return json.loads(done.stdout)
        finally:
            process.terminate()
            process.wait(20)


def time_of(milliseconds):
    return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:,.0f} ms"


def row(server, reports):
    median = lambda *path: statistics.median(dig(report, path) for report in reports)
    pair = lambda *path: f"{time_of(median(*path, 'p50'))} / {time_of(median(*path, 'p99'))}"
    faults = sum(dig(r, ("delivery", name)) for r in reports for name in ("lost", "duplicated", "out_of_order"))
    busy = sum(r["load"]["was_bottleneck"] for r in reports)
    return " | ".join([
        f"| {server}",
        f"{median('delivery', 'per_second'):,.0f}",
        f"{median('server', 'cpu_us_per_delivery'):.2f}",
        f"{median('server', 'cores'):.0%}",
        pair("delivery", "latency"),
        pair("delivery", "latency_to_last"),
        f"{median('server', 'memory_per_reader_bytes') / 1024:.1f}",
        str(faults),
        f"{median('load', 'cpu_us_per_delivery'):.2f}{'*' * busy} |",
    ])


def dig(report, path):
    for name in path:
        report = report[name]
    return report


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=10)
    arguments.add_argument("--server", action="append", choices=SERVERS)
    arguments.add_argument("--workload", action="append", choices=WORKLOADS)
    arguments.add_argument("--stentor", default=f"{HERE}/../target/release/stentor")
    given = arguments.parse_args()
    if is_listening():
        sys.exit(f"port {PORT} is in use")
    servers = given.server or list(SERVERS)
    for workload in given.workload or WORKLOADS:
        reports = {server: [] for server in servers}
        for _ in range(given.repeats):
            for server in servers:
                reports[server].append(run(given.stentor, server, workload, given.seconds))
        print(f"\n{workload}:\n")
        print("| server | deliveries/s | server µs a delivery | server core | latency p50 / p99 "
              "| to the last p50 / p99 | KiB a reader | faults | load µs a delivery |")
        print("| --- |" + " ---: |" * 8)
        for server in servers:
            print(row(server, reports[server]), flush=True)
    print("\n`*`: a run in which the load was the bottleneck, or had to wait for its core.")


main()
