#!/usr/bin/env python3
"""Counts the instructions of the steps that an event takes, and compares them with counts.json in this directory.

Counts do not depend on other programs on the machine, but on the toolchain. With the toolchain of counts.json, a count
that has grown by more than 5 % is an error. With another toolchain the counts are only printed.

    bench/instructions/count.py             count and compare
    bench/instructions/count.py --accept    count, and overwrite counts.json
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
# Maximum growth of a count in percent.
GROWTH_MAX = 5


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--accept", action="store_true", help="overwrite counts.json")
    accept = parser.parse_args().accept
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing; install it, or run ./test, which does")

    tools, counts = toolchain(), count()
    committed = json.loads(COUNTS.read_text())
    errors = compare(counts, committed["instructions"])
    if accept:
        COUNTS.write_text(json.dumps({"toolchain": tools, "instructions": counts}, indent=4) + "\n")
        print("written to", COUNTS)
    elif tools != committed["toolchain"]:
        print("not compared: counts.json is for", describe(committed["toolchain"]))
        print("              this toolchain is", describe(tools))
    elif errors:
        sys.exit("\n".join([*errors, f"if the increase is justified, accept it with {ACCEPT}"]))


def toolchain():
    """Everything besides the code that counts depend on."""
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
    """The number of instructions of each step, by its name."""
    command = ["cargo", "bench", "-p", "stentor-instructions", "--profile", "instructions"]
    environment = {**os.environ, "GUNGRAUN_RUNNER": str(runner())}
    # Other compiler flags would change the code.
    environment.pop("RUSTFLAGS", None)
    counts = {}
    for line in output(*command, "--", "--output-format=json", env=environment).splitlines():
        step = json.loads(line)
        name = f"{step['group']} {step['id']}".replace("_", " ")
        [profile] = step["profiles"]
        counts[name] = profile["data"]["total"]["metrics"]["Ir"]["values"]["new"]
    return counts


def runner():
    """The gungraun runner in the version of the library. Installs it if needed."""
    metadata = json.loads(output("cargo", "metadata", "--format-version=1"))
    [version] = [
        package["version"] for package in metadata["packages"] if package["name"] == "gungraun-runner"
    ]
    root = Path(metadata["target_directory"], f"gungraun-runner-{version}")
    program = root / "bin" / "gungraun-runner"
    if not program.exists():
        # Its speed does not matter, so a debug build is enough.
        quick = ["--debug", "--config", "profile.dev.debug=false"]
        output("cargo", "install", f"gungraun-runner@{version}", "--locked", "--root", root, *quick)
    return program


def compare(counts, committed):
    """Prints both counts of each step. Returns the errors."""
    errors = []
    for name in {**committed, **counts}:
        now, before = counts.get(name), committed.get(name)
        if now is None:
            errors.append(f"error: `{name}` is in counts.json and was not counted")
        elif before is None:
            errors.append(f"error: `{name}` is not in counts.json")
            print(f"{name:45} {now:>12,}")
        else:
            growth = 100 * (now - before) / before
            print(f"{name:45} {now:>12,} {growth:+7.2f} %")
            if growth > GROWTH_MAX:
                errors.append(f"error: `{name}` takes {growth:.1f} % more instructions than {before:,}, "
                              "its count in counts.json")
    return errors


def describe(tools):
    return ", ".join(f"{name} {value}" for name, value in tools.items())


def output(*command, env=None):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=env, cwd=COUNTS.parent)
    if done.returncode != 0:
        sys.exit(f"command failed: {' '.join(map(str, command))}")
    return done.stdout


if __name__ == "__main__":
    main()
