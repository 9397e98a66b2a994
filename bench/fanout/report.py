"""The report in Markdown."""
import re
import textwrap

from .metrics import RATE, main_of, metrics_of, title_of
from .servers import BASELINES, SERVERS
from .workloads import WORKLOADS

# Ratio above which a difference is listed as a loss.
NOTABLE = 1.03


def table(head, rows):
    aligned = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, aligned, *rows]) + "\n"


def name_of(server):
    return SERVERS[server].title


def overview(rows):
    """The main metric of each workload for each server, with its ratio to the baseline."""
    servers = [server for server in SERVERS if any(row["server"] == server for row in rows.all)]
    lines = []
    for workload, about in WORKLOADS.items():
        if not rows.servers(workload):
            continue
        metric = main_of(workload)
        cells = [f"{name_and_key(workload)}: {title_of(metric, workload)}"]
        for server in servers:
            value = rows.median(workload, server, metric)
            ratio = rows.ratio(workload, server, metric, about.baseline)
            text = metric.text(value)
            if ratio and server != about.baseline and workload != "idle10k":
                text += f" ({ratio[0]:.2f})"
            cells.append(text)
        lines.append(cells)
    return table(["", *map(name_of, servers)], lines)


def name_and_key(workload):
    return f"{WORKLOADS[workload].title} (`{workload}`)"


def details(rows):
    """All metrics of each workload."""
    text = ""
    for workload, about in WORKLOADS.items():
        servers = [server for server in SERVERS if server in rows.servers(workload)]
        if not servers:
            continue
        metrics, lines = metrics_of(workload), []
        for server in servers:
            ratio = rows.ratio(workload, server, main_of(workload), about.baseline)
            cells = [metric.text(rows.median(workload, server, metric)) for metric in metrics]
            cells.append(f"{ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})" if ratio else "–")
            cells.append(" / ".join(map(str, rows.faults(workload, server))))
            noisy = sum(row["noisy"] for row in rows.of(workload, server))
            lines.append([name_of(server) + "*" * noisy, *cells])
        ratio = f"ratio to {name_of(about.baseline)} (min–max)"
        head = ["", *(title_of(metric, workload) for metric in metrics), ratio, "lost / duplicated / out of order"]
        text += f"{name_and_key(workload)}:\n\n{table(head, lines)}\n"
    return text


def pairs(rows):
    """The cost of 20 slow subscribers for the others, and of the disk."""
    found = [(f"{name_of(server)}: with 20 slow subscribers / without",
              rows.ratio("slow-20", server, RATE, server, "slow-none"))
             for server in rows.servers("slow-20")]
    found += [(f"{WORKLOADS[workload].title}: Stentor on disk / in memory",
               rows.ratio(workload, "stentor-durable", RATE, "stentor"))
              for workload in ("fan1k-w16", "fan10k-w16")]
    lines = [[title, f"{ratio[0]:.2f}", f"{ratio[1]:.2f}–{ratio[2]:.2f}"] for title, ratio in found if ratio]
    return table(["ratio of deliveries/s within a repeat", "median", "min–max"], lines) + "\n" if lines else ""


def losses(rows):
    """The metrics in which another server is better than Stentor."""
    others = [server for server in SERVERS if not server.startswith("stentor") and server not in BASELINES]
    lines = []
    for workload in WORKLOADS:
        for metric in (metric for metric in metrics_of(workload) if metric.better):
            ours = rows.median(workload, "stentor", metric)
            theirs = [(rows.median(workload, other, metric), other) for other in others]
            theirs = [(value, other) for value, other in theirs if value is not None and value > 0]
            if not ours or not theirs:
                continue
            best, other = max(theirs, key=lambda it: it[0] * metric.better)
            if max(best, ours) / min(best, ours) > NOTABLE and (best - ours) * metric.better > 0:
                lines.append([f"{name_and_key(workload)}: {title_of(metric, workload)}",
                              metric.text(ours), metric.text(best), name_of(other)])
    if not lines:
        return "No metric of these tables.\n"
    return table(["", "Stentor, in memory", "best other server", "name"], lines)


def page(rows, absent, chart):
    """The text between the marks of a page."""
    setting = rows.all[-1]["setting"]
    noise = (f" In {rows.noisy} of {len(rows.all)} runs, marked `*`, other programs used the machine."
             if rows.noisy else "")
    absent = "".join(f" {name_of(server)}: not measured, {why}." for server, why in absent.items())
    packages = ", ".join(setting["packages"]) or "no Debian packages of other servers"
    intro = f"""\
`{setting["command"]}`, {setting["at"]}; {setting["stentor"]}; {packages}; {setting["machine"]}.
Medians of {rows.repeats()} repeat(s).{noise}{absent} A sync of an appended page took {setting["sync"]} ms (p50 / p99)."""
    return f"""\
{wrapped(intro)}

In brackets: the ratio to the bare epoll loop within the same repeat; in workloads with several events in flight, to the
batching one. Lower is better.

{overview(rows)}
![CPU time of each server, as a multiple of a bare epoll loop]({chart})

**Where another server is better than Stentor in memory:**

{losses(rows)}
{pairs(rows)}
<details><summary>All results</summary>

{details(rows)}
</details>
"""


def wrapped(text):
    """Wraps prose to the line length of the docs."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def write_between(path, mark, text):
    """Replaces the text between `<!-- MARK -->` and `<!-- end of MARK -->` of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    with open(path) as file:
        page = file.read()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise SystemExit(f"{path} needs exactly one {begin}, followed by {end}")
    with open(path, "w") as file:
        file.write(pattern.sub(lambda _: f"{begin}\n{text}{end}", page))
