//! The result as one HTML page, without scripts or external files.

use std::fmt::Write;

use crate::format::{count, milliseconds, printable};
use crate::latency::Summary;
use crate::report::chart::{Axis, Chart, Line, Scale, escaped};
use crate::report::data::{Report, Unit};
use crate::report::table::{faults, latencies, lines};
use crate::sampler::Sample;

const STYLE: &str = include_str!("style.css");

/// The report as an HTML page with charts. It needs no scripts and no other files.
pub fn page(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>Load test of {url}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Load test of <code>{url}</code></h1>\n<p>{}, by <code>stentor bench</code>: {}</p>\n",
        report.setting.at,
        escaped(&task(report)),
        url = escaped(&report.setting.url)
    );
    let class = if report.is_faulty() { "bad" } else { "good" };
    // Writing to memory cannot fail.
    let _ = writeln!(page, "<p class=\"result {class}\">{}</p>", escaped(&result(report)));
    for remark in &report.load.remarks {
        let _ = writeln!(page, "<p class=\"result note\">Note: {}.</p>", escaped(remark));
    }
    if report.was_interrupted {
        page += "<p class=\"result note\">The run was interrupted; these are the results up to then.</p>\n";
    }
    for chart in charts(report).iter().filter_map(Chart::svg) {
        page += &chart;
    }
    page += "<h2>Results</h2>\n<table class=\"facts\">\n";
    for (name, value) in lines(report) {
        let _ = writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escaped(&value));
    }
    page += "</table>\n";
    if let Some(rows) = latencies(report) {
        page += &latency_table(&rows);
    }
    if !report.problems.is_empty() {
        page += "<h2>Problems</h2>\n<ul>\n";
        for problem in &report.problems {
            let what = escaped(&printable(&problem.what));
            let _ = writeln!(page, "<li>{} × {what}</li>", count(problem.count));
        }
        page += "</ul>\n";
    }
    page += "</main>\n</body>\n</html>\n";
    page
}

/// The options of the run, in a sentence.
fn task(report: &Report) -> String {
    let setting = &report.setting;
    let topics = match setting.topics {
        1 => "1 topic".to_owned(),
        topics => format!("{} topics", count(topics.into())),
    };
    let subscribers = format!("{} subscribers of {topics}", count(setting.subscribers.into()));
    let size = setting.size;
    match (setting.rate, setting.window) {
        (Some(rate), _) => format!("{subscribers}, {rate} events per second of {size} bytes."),
        (_, Some(window)) => format!(
            "{subscribers}, events of {size} bytes as fast as possible with at most {window} in flight."
        ),
        _ if report.churn.is_some() => {
            format!("{subscribers}, while other connections are opened and closed.")
        }
        _ if report.unit == Unit::Connect => format!("{subscribers} that only connect."),
        _ => format!("{subscribers} that only listen."),
    }
}

fn result(report: &Report) -> String {
    match &report.delivery {
        Some(delivery) if report.is_faulty() => format!(
            "{}, of {} deliveries.",
            faults(delivery.lost, delivery.duplicated, delivery.out_of_order),
            count(delivery.expected)
        ),
        Some(_) if report.unit == Unit::Publish => "There were no subscribers.".to_owned(),
        Some(delivery) => {
            format!("All {} deliveries arrived, once and in order.", count(delivery.received))
        }
        None if report.unit == Unit::Connect => {
            let churned = report.churn.as_ref().map_or(0, |churn| churn.connections);
            let connects = report.connect.connected as u64 + churned;
            format!("{} connections got a response.", count(connects))
        }
        None => {
            format!("{} events arrived.", count(report.arrivals.as_ref().map_or(0, |it| it.events)))
        }
    }
}

fn latency_table(rows: &[(&str, &Summary)]) -> String {
    let mut text = "<div class=\"wide\"><table class=\"times\">\n\
                    <tr><th></th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th></tr>\n"
        .to_owned();
    for (name, summary) in rows {
        let _ = write!(text, "<tr><th>{name}</th>");
        for time in [summary.p50, summary.p90, summary.p99, summary.p999, summary.max] {
            let _ = write!(text, "<td>{}</td>", milliseconds(time));
        }
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

fn charts(report: &Report) -> Vec<Chart<'static>> {
    let (title, title_over_time) = if report.delivery.is_some() {
        ("Latency", "Latency over time")
    } else {
        ("Time between arrivals", "Time between arrivals over time")
    };
    let line = |name, value: fn(&Sample) -> Option<f64>| line(report, name, value);
    let mut charts = vec![
        quantiles(report, title),
        over_time(
            title_over_time,
            "ms",
            Scale::Logarithmic,
            vec![
                line("p50", |sample| sample.p50),
                line("p99", |sample| sample.p99),
                line("max", |sample| sample.max),
            ],
        ),
        over_time(
            "Deliveries per second",
            "",
            Scale::Linear,
            vec![line("deliveries", |sample| Some(sample.delivered_per_second))],
        ),
    ];
    if report.publish.is_some() {
        let published = line("published", |sample| Some(sample.published_per_second));
        charts.push(over_time("Events published per second", "", Scale::Linear, vec![published]));
    }
    let mut cores = vec![line("stentor bench", |sample| sample.load_cores)];
    if report.server.is_some() {
        cores.insert(0, line("server", |sample| sample.server_cores));
    }
    charts.push(over_time("CPU", "cores", Scale::Linear, cores));
    let memory =
        line("resident", |sample| Some(sample.server_memory_bytes? as f64 / f64::from(1 << 20)));
    charts.push(over_time("Server memory", "MiB", Scale::Linear, vec![memory]));
    if report.storms.is_some() {
        let connected = line("subscribers", |sample| Some(sample.connected as f64));
        charts.push(over_time("Connected subscribers", "", Scale::Linear, vec![connected]));
    }
    charts
}

/// Chart of latency by quantile.
fn quantiles(report: &Report, title: &'static str) -> Chart<'static> {
    let mut curves: Vec<(&'static str, Option<&Summary>)> = Vec::new();
    if let Some(delivery) = &report.delivery {
        curves.push(("to each subscriber", delivery.latency.as_ref()));
        curves.push(("to the last subscriber", delivery.latency_to_last.as_ref()));
    }
    if let Some(arrivals) = &report.arrivals {
        curves.push(("at each subscriber", arrivals.gap.as_ref()));
    }
    let lines = curves.into_iter().filter_map(|(name, summary)| {
        let summary = summary?;
        // A quantile finer than one value would only repeat the maximum.
        let is_known = |quantile: f64| (1.0 - quantile) * summary.count as f64 >= 0.99;
        let points = summary.curve.iter().copied().filter(|(quantile, _)| is_known(*quantile));
        Some(Line { name, points: points.collect() })
    });
    Chart {
        title,
        x: Axis { name: "share of events below", scale: Scale::Nines },
        y: Axis { name: "ms", scale: Scale::Logarithmic },
        lines: lines.collect(),
    }
}

fn over_time(
    title: &'static str,
    unit: &'static str,
    scale: Scale,
    lines: Vec<Line<'static>>,
) -> Chart<'static> {
    let x = Axis { name: "seconds", scale: Scale::Linear };
    Chart { title, x, y: Axis { name: unit, scale }, lines }
}

/// The values of all samples as a line of a chart.
fn line(report: &Report, name: &'static str, value: fn(&Sample) -> Option<f64>) -> Line<'static> {
    let points = report.samples.iter().filter_map(|sample| Some((sample.at, value(sample)?)));
    Line { name, points: points.collect() }
}
