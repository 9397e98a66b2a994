#!/usr/bin/env python3
"""Counts the instructions of the steps that an event takes, and compares with counts.json beside this file.

Counts do not depend on what else the machine does, but on what compiles and runs the steps. With the
toolchain of counts.json a count that has grown by more than 5 % is an error; with another one the counts are
shown and not judged.

    bench/instructions/count.py             count and compare
    bench/instructions/count.py --accept    count, and write counts.json anew
"""
import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

COUNTS = Path(__file__).with_name("counts.json")
ACCEPT = "bench/instructions/count.py --accept"
# A count may grow by so many percent.
TOLERATED = 5


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accept", action="store_true", help="write counts.json anew")
    accept = parser.parse_args().accept
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: install it, or let ./test do so")

    tools, counts = toolchain(), count()
    committed = json.loads(COUNTS.read_text())
    faults = compare(counts, committed["instructions"])
    if accept:
        COUNTS.write_text(json.dumps({"toolchain": tools, "instructions": counts}, indent=4) + "\n")
        print("these are now in", COUNTS)
    elif tools != committed["toolchain"]:
        print("not judged: the committed counts hold for", describe(committed["toolchain"]))
        print("            these are of                  ", describe(tools))
    elif faults:
        sys.exit("\n".join([*faults, f"if this is meant to be, write the counts anew: {ACCEPT}"]))


def toolchain():
    """What counts depend on besides the code."""
    lines = output("rustc", "-vV").splitlines()
    rustc = dict(line.split(": ", 1) for line in lines if ": " in line)
    flags = Path("/proc/cpuinfo").read_text().split()
    return {
        "rustc": f"{rustc['release']} {rustc['commit-hash'][:9]}",
        "target": rustc["host"],
        "libc": " ".join(platform.libc_ver()),
        "valgrind": output("valgrind", "--version").strip().removeprefix("valgrind-"),
        "avx2": "avx2" in flags,
    }


def count():
    """The instructions of each step, by its name."""
    command = ["cargo", "bench", "-p", "stentor-instructions", "--profile", "instructions"]
    environment = {**os.environ, "GUNGRAUN_RUNNER": str(runner())}
    # Flags of one's own would make other code.
    environment.pop("RUSTFLAGS", None)
    counts = {}
    for line in output(*command, "--", "--output-format=json", env=environment).splitlines():
        step = json.loads(line)
        name = f"{step['group']} {step['id']}".replace("_", " ")
        [profile] = step["profiles"]
        counts[name] = profile["data"]["total"]["metrics"]["Ir"]["values"]["new"]
    return counts


def runner():
    """The program that gungraun wants beside itself, in its version; installed if it is not there."""
    metadata = json.loads(output("cargo", "metadata", "--format-version=1"))
    [version] = [
        package["version"] for package in metadata["packages"] if package["name"] == "gungraun-runner"
    ]
    root = Path(metadata["target_directory"], f"gungraun-runner-{version}")
    program = root / "bin" / "gungraun-runner"
    if not program.exists():
        # Its own speed does not matter: it is built the quick way.
        quick = ["--debug", "--config", "profile.dev.debug=false"]
        output("cargo", "install", f"gungraun-runner@{version}", "--locked", "--root", root, *quick)
    return program


def compare(counts, committed):
    """Prints both beside each other, and says what is wrong with them."""
    faults = []
    for name in {**committed, **counts}:
        now, before = counts.get(name), committed.get(name)
        if now is None:
            faults.append(f"error: `{name}` has a committed count and is not counted")
        elif before is None:
            faults.append(f"error: `{name}` has no committed count")
            print(f"{name:45} {now:>12,}")
        else:
            growth = 100 * (now - before) / before
            print(f"{name:45} {now:>12,} {growth:+7.2f} %")
            if growth > TOLERATED:
                faults.append(f"error: `{name}` takes {growth:.1f} % more instructions than the committed {before:,}")
    return faults


def describe(tools):
    return ", ".join(f"{name} {value}" for name, value in tools.items())


def output(*command, env=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, cwd=COUNTS.parent)
    if done.returncode != 0:
        sys.exit(f"this failed: {' '.join(map(str, command))}")
    return done.stdout


if __name__ == "__main__":
    main()
