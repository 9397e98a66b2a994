"""A chart of ratios, as an SVG for light and dark pages."""
import math
from xml.sax.saxutils import escape

from .metrics import CPU, P50
from .servers import SERVERS
from .workloads import WORKLOADS

DESCRIPTION = ("CPU time of each server in each workload (for latency workloads the median latency), "
               "as a multiple of a bare epoll loop")
LEFT, WIDTH, ROW, TOP = 376, 1040, 30, 84
# Colors on light and dark pages, distinguishable with color blindness, and the shape of the mark.
LOOKS = {
    "stentor": ("#4338ca", "#a5b4fc", "disc"),
    "stentor-durable": ("#0369a1", "#7dd3fc", "square"),
    "stentor-hyper": ("#4338ca", "#a5b4fc", "ring"),
    "axum": ("#c2410c", "#fdba74", "diamond"),
    "nchan": ("#15803d", "#86efac", "triangle"),
    "pushpin": ("#a21caf", "#f0abfc", "cross"),
}


def shape(kind, x, y):
    points = {
        "square": [(-5, -5), (5, -5), (5, 5), (-5, 5)],
        "diamond": [(0, -6.5), (6.5, 0), (0, 6.5), (-6.5, 0)],
        "triangle": [(0, -6), (6, 5), (-6, 5)],
    }.get(kind)
    if points:
        return "<path d=\"M" + "L".join(f"{x + a:.1f} {y + b:.1f}" for a, b in points) + "Z\"/>"
    if kind == "cross":
        return (f'<path class="open" d="M{x - 5:.1f} {y - 5:.1f}L{x + 5:.1f} {y + 5:.1f}'
                f'M{x - 5:.1f} {y + 5:.1f}L{x + 5:.1f} {y - 5:.1f}"/>')
    is_open = ' class="open"' if kind == "ring" else ""
    return f'<circle{is_open} cx="{x:.1f}" cy="{y:.1f}" r="5"/>'


def ratios(rows):
    """(workload, {server: ratio}) for each workload with a baseline."""
    for workload, about in WORKLOADS.items():
        metric = P50 if workload == "lat1k" else CPU
        found = {server: rows.ratio(workload, server, metric, about.baseline) for server in LOOKS}
        found = {server: ratio[0] for server, ratio in found.items() if ratio}
        if found and workload != "idle10k":
            yield workload, found


def svg(rows):
    lines = list(ratios(rows))
    values = [value for _, found in lines for value in found.values()] + [1]
    low, high = (int(how(math.log2(value))) for how, value in ((math.floor, min(values)), (math.ceil, max(values))))
    high = max(high, low + 1)
    at = lambda value: LEFT + (math.log2(value) - low) / (high - low) * (WIDTH - LEFT - 24)
    bottom = TOP + ROW * len(lines)
    shown = [server for server in LOOKS if any(server in found for _, found in lines)]
    parts = [head(bottom + 44, shown)]
    for number, server in enumerate(shown):
        x, y = 12 + number % 4 * 188, 20 + number // 4 * 22
        parts.append(f'<g class="{server}">{shape(LOOKS[server][2], x, y)}</g>'
                     f'<text x="{x + 12}" y="{y + 4}">{escape(SERVERS[server].title)}</text>')
    for power in range(low, high + 1):
        x = at(2.0**power)
        parts.append(f'<path class="{"one" if power == 0 else "grid"}" d="M{x:.1f} {TOP - 14}V{bottom}"/>'
                     f'<text class="soft" text-anchor="middle" x="{x:.1f}" y="{bottom + 16}">{2.0**power:g}</text>')
    parts.append(f'<text class="soft" text-anchor="middle" x="{(LEFT + WIDTH) / 2:.0f}" y="{bottom + 34}">'
                 'multiple of the bare epoll loop; lower is better</text>')
    for number, (workload, found) in enumerate(lines):
        label = f"{WORKLOADS[workload].title} ({workload})"
        y = TOP + ROW * number + ROW / 2 - 6
        ends = at(min(found.values())), at(max(found.values()))
        parts.append(f'<text text-anchor="end" x="{LEFT - 12}" y="{y + 4:.1f}">{escape(label)}</text>'
                     f'<path class="span" d="M{ends[0]:.1f} {y:.1f}H{ends[1]:.1f}"/>')
        for server, value in found.items():
            title = escape(f"{label}, {SERVERS[server].title}: {value:.2f}")
            parts.append(f'<g class="{server}"><title>{title}</title>{shape(LOOKS[server][2], at(value), y)}</g>')
    return "\n".join(parts) + "\n</svg>\n"


def head(height, shown):
    light = " ".join(f".{server} {{ fill: {LOOKS[server][0]}; stroke: {LOOKS[server][0]} }}" for server in shown)
    dark = " ".join(f".{server} {{ fill: {LOOKS[server][1]}; stroke: {LOOKS[server][1]} }}" for server in shown)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" \
font-size="13" role="img" aria-label="{DESCRIPTION}">
<style>
text {{ fill: #0f172a }} .soft {{ fill: #475569; font-size: 12px }}
.grid, .span {{ stroke: #cbd5e1; fill: none }} .one {{ stroke: #475569; fill: none; stroke-dasharray: 4 3 }}
.open {{ fill: none; stroke-width: 2.5 }}
{light}
@media (prefers-color-scheme: dark) {{
text {{ fill: #f1f5f9 }} .soft {{ fill: #94a3b8 }}
.grid, .span {{ stroke: #334155 }} .one {{ stroke: #94a3b8 }}
{dark}
}}
</style>"""
