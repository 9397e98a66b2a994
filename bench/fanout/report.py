"""What was measured, in Markdown."""
import re

from .figures import CPU, RATE, main_of, told
from .servers import SERVERS, YARDSTICKS
from .workloads import WORKLOADS

# A difference that is told as a loss.
NOTABLE = 1.03


def table(head, rows):
    aligned = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, aligned, *rows]) + "\n"


def name_of(server):
    return SERVERS[server].title


def overview(rows):
    """Each workload's main figure of each server, with its ratio to the kernel's floor."""
    servers = [server for server in SERVERS if any(row["server"] == server for row in rows.all)]
    lines = []
    for workload, about in WORKLOADS.items():
        if not rows.servers(workload):
            continue
        figure, cells = main_of(workload), [f"`{workload}`: {about.title}; {what(workload)}"]
        for server in servers:
            value, ratio = rows.median(workload, server, figure), rows.ratio(workload, server, figure, about.yardstick)
            text = figure.text(value)
            if ratio and server != about.yardstick and workload != "idle10k":
                text += f" ({ratio[0]:.2f})"
            cells.append(text)
        lines.append(cells)
    return table(["", *map(name_of, servers)], lines)


def what(workload):
    figure = main_of(workload)
    return figure.title if figure != CPU else f"µs a {WORKLOADS[workload].unit}"


def details(rows):
    """All figures of each workload."""
    text = ""
    for workload, about in WORKLOADS.items():
        servers = [server for server in SERVERS if server in rows.servers(workload)]
        if not servers:
            continue
        figures, lines = told(workload), []
        for server in servers:
            ratio = rows.ratio(workload, server, main_of(workload), about.yardstick)
            cells = [figure.text(rows.median(workload, server, figure)) for figure in figures]
            cells.append(f"{ratio[0]:.2f} ({ratio[1]:.2f}–{ratio[2]:.2f})" if ratio else "–")
            cells.append(" / ".join(map(str, rows.faults(workload, server))))
            noisy = sum(row["noisy"] for row in rows.of(workload, server))
            lines.append([name_of(server) + "*" * noisy, *cells])
        yardstick = f"× {about.yardstick} (least–greatest)"
        head = ["", *(figure.title for figure in figures), yardstick, "lost / doubled / disordered"]
        text += f"`{workload}`, {about.title}:\n\n{table(head, lines)}\n"
    return text


def pairs(rows):
    """What 20 readers that hardly read cost the others, and what the disk does."""
    found = [(f"{name_of(server)}: `slow-20` of `slow-none`", rows.ratio("slow-20", server, RATE, server, "slow-none"))
             for server in rows.servers("slow-20")]
    found += [(f"`{workload}`: Stentor on disk of in memory", rows.ratio(workload, "stentor-durable", RATE, "stentor"))
              for workload in ("fan1k-w16", "fan10k-w16")]
    lines = [[what_is, f"{ratio[0]:.2f}", f"{ratio[1]:.2f}–{ratio[2]:.2f}"] for what_is, ratio in found if ratio]
    return table(["deliveries/s within a repeat", "median", "least–greatest"], lines) + "\n" if lines else ""


def losses(rows):
    """Where another one does better than Stentor, told without being asked."""
    others = [server for server in SERVERS if not server.startswith("stentor") and server not in YARDSTICKS]
    lines = []
    for workload in WORKLOADS:
        for figure in (figure for figure in told(workload) if figure.better):
            ours = rows.median(workload, "stentor", figure)
            theirs = [(rows.median(workload, other, figure), other) for other in others]
            theirs = [(value, other) for value, other in theirs if value is not None and value > 0]
            if not ours or not theirs:
                continue
            best, other = max(theirs, key=lambda it: it[0] * figure.better)
            if max(best, ours) / min(best, ours) > NOTABLE and (best - ours) * figure.better > 0:
                lines.append([f"`{workload}`, {figure.title}", figure.text(ours), figure.text(best), name_of(other)])
    if not lines:
        return "In no figure of these tables.\n"
    return table(["", "Stentor, in memory", "the best of the others", "which is"], lines)


def page(rows, absent, plot):
    """What stands between the marks of a page."""
    setting = rows.all[-1]["setting"]
    noise = f" {rows.noisy} of {len(rows.all)} runs, marked `*`, had to share the machine." if rows.noisy else ""
    absent = "".join(f" {name_of(server)}: not measured, {why}." for server, why in absent.items())
    return f"""\
`{setting["command"]}`, {setting["at"]}; {setting["stentor"]}; {", ".join(setting["packages"]) or "no peers of Debian"}; {setting["machine"]}.
Medians of {rows.repeats()} repeat(s).{noise}{absent} A sync of an appended page took {setting["sync"]} ms (p50 / p99) there.

In brackets: the ratio to the kernel's floor within the same repeat, to the gathering one in workloads with several events under way.

{overview(rows)}
![Processor time of each server, as a multiple of what the kernel asks for]({plot})

**Where Stentor, in memory, is not the best:**

{losses(rows)}
{pairs(rows)}
<details><summary>All figures</summary>

{details(rows)}
</details>
"""


def write_between(path, mark, text):
    """Puts a text between `<!-- MARK -->` and `<!-- end of MARK -->` of a page."""
    begin, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    with open(path) as file:
        page = file.read()
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise SystemExit(f"{path} needs one {begin} and, behind it, {end}")
    with open(path, "w") as file:
        file.write(pattern.sub(lambda _: f"{begin}\n{text}{end}", page))
