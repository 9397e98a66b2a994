//! The result as one page, which needs nothing beside itself and no script.

use std::fmt::Write;

use super::super::figures::{count, milliseconds};
use super::super::meter::{Sample, Summary};
use super::plot::{Axis, Line, Plot, Scale, escaped};
use super::table::{lines, times};
use super::{Report, Unit};

const STYLE: &str = include_str!("style.css");

pub(in super::super) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>Load on {url}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Load on <code>{url}</code></h1>\n<p>{}, by <code>stentor bench</code>: {}</p>\n",
        report.setting.at,
        escaped(&task(report)),
        url = escaped(&report.setting.url)
    );
    // Writing to memory does not fail.
    let verdict = verdict(report);
    let class = if report.is_faulty() { "bad" } else { "good" };
    let _ = writeln!(page, "<p class=\"verdict {class}\">{}</p>", escaped(&verdict));
    for remark in &report.load.remarks {
        let _ = writeln!(page, "<p class=\"verdict note\">Note: {}.</p>", escaped(remark));
    }
    if report.was_interrupted {
        page += "<p class=\"verdict note\">It was interrupted; this is what was measured until then.</p>\n";
    }
    for plot in plots(report).iter().filter_map(Plot::svg) {
        page += &plot;
    }
    page += "<h2>Figures</h2>\n<table class=\"facts\">\n";
    for (name, value) in lines(report) {
        let _ = writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", escaped(&value));
    }
    page += "</table>\n";
    if let Some(rows) = times(report) {
        page += &table_of_times(&rows);
    }
    if !report.problems.is_empty() {
        page += "<h2>Problems</h2>\n<ul>\n";
        for problem in &report.problems {
            let what = escaped(&crate::output::escaped(&problem.what));
            let _ = writeln!(page, "<li>{} × {what}</li>", count(problem.count));
        }
        page += "</ul>\n";
    }
    page += "</main>\n</body>\n</html>\n";
    page
}

/// What was asked for, in a sentence.
fn task(report: &Report) -> String {
    let setting = &report.setting;
    let readers =
        format!("{} readers of {} topics", count(setting.subscribers.into()), setting.topics);
    let readers =
        if setting.topics == 1 { readers.replace("1 topics", "one topic") } else { readers };
    match (setting.rate, setting.window) {
        (Some(rate), _) => format!("{readers}, {rate} events a second of {} bytes.", setting.size),
        (_, Some(window)) => format!(
            "{readers}, as many events as the server takes, {window} at a time, of {} bytes.",
            setting.size
        ),
        _ if report.churn.is_some() => format!("{readers}, beside whom others came and went."),
        _ if report.unit == Unit::Connect => format!("{readers}, who only connected."),
        _ => format!("{readers}, who only listened."),
    }
}

fn verdict(report: &Report) -> String {
    match &report.delivery {
        Some(delivery) if report.is_faulty() => format!(
            "{} lost, {} doubled, {} out of order, of {} deliveries.",
            count(delivery.lost),
            count(delivery.duplicated),
            count(delivery.out_of_order),
            count(delivery.expected)
        ),
        Some(_) if report.unit == Unit::Publish => "Nobody was there to read.".to_owned(),
        Some(delivery) => {
            format!("Each of {} deliveries arrived, once and in order.", count(delivery.received))
        }
        None if report.unit == Unit::Connect => {
            let churned = report.churn.as_ref().map_or(0, |churn| churn.connections);
            let connects = report.connect.connected as u64 + churned;
            format!("{} connections got their answer.", count(connects))
        }
        None => {
            format!("{} events arrived.", count(report.arrivals.as_ref().map_or(0, |it| it.events)))
        }
    }
}

fn table_of_times(rows: &[(&str, &Summary)]) -> String {
    let mut text =
        "<div class=\"wide\"><table class=\"times\">\n<tr><th></th><th>p50</th><th>p90</th>\
                    <th>p99</th><th>p99.9</th><th>max</th></tr>\n"
            .to_owned();
    for (name, times) in rows {
        let _ = write!(text, "<tr><th>{name}</th>");
        for time in [times.p50, times.p90, times.p99, times.p999, times.max] {
            let _ = write!(text, "<td>{}</td>", milliseconds(time));
        }
        text += "</tr>\n";
    }
    text + "</table></div>\n"
}

fn plots(report: &Report) -> Vec<Plot<'static>> {
    let what = if report.delivery.is_some() { "Latency" } else { "Gap between arrivals" };
    let over_time =
        if what == "Latency" { "Latency over time" } else { "Gap between arrivals over time" };
    let mut plots = vec![curve(report, what)];
    let of = |name, value: fn(&Sample) -> Option<f64>| course(report, name, value);
    plots.push(over(
        over_time,
        "ms",
        Scale::Logarithmic,
        vec![
            of("p50", |sample| sample.p50),
            of("p99", |sample| sample.p99),
            of("max", |sample| sample.max),
        ],
    ));
    plots.push(over(
        "Deliveries a second",
        "",
        Scale::Linear,
        vec![of("deliveries", |sample| Some(sample.delivered_per_second))],
    ));
    if report.publish.is_some() {
        plots.push(over(
            "Events a second",
            "",
            Scale::Linear,
            vec![of("published", |sample| Some(sample.published_per_second))],
        ));
    }
    let mut cores = vec![of("load", |sample| sample.load_cores)];
    if report.server.is_some() {
        cores.insert(0, of("server", |sample| sample.server_cores));
    }
    plots.push(over("Processor time", "cores", Scale::Linear, cores));
    plots.push(over(
        "Memory of the server",
        "MiB",
        Scale::Linear,
        vec![of("resident", |sample| {
            Some(sample.server_memory_bytes? as f64 / f64::from(1 << 20))
        })],
    ));
    if report.storms.is_some() {
        plots.push(over(
            "Connected readers",
            "",
            Scale::Linear,
            vec![of("readers", |sample| Some(sample.connected as f64))],
        ));
    }
    plots
}

/// Latency by quantile.
fn curve(report: &Report, title: &'static str) -> Plot<'static> {
    let mut curves: Vec<(&'static str, Option<&Summary>)> = Vec::new();
    if let Some(delivery) = &report.delivery {
        curves.push(("to each reader", delivery.latency.as_ref()));
        curves.push(("to the last reader", delivery.latency_to_last.as_ref()));
    }
    if let Some(arrivals) = &report.arrivals {
        curves.push(("at each reader", arrivals.gap.as_ref()));
    }
    let lines = curves.into_iter().filter_map(|(name, times)| {
        let times = times?;
        // What lies beyond the number of values would only repeat the greatest.
        let known = |quantile: f64| (1.0 - quantile) * times.count as f64 >= 0.99;
        let points = times.curve.iter().copied().filter(|(quantile, _)| known(*quantile));
        Some(Line { name, points: points.collect() })
    });
    let (x, y) = ("of all stay below", "ms");
    let (x, y) =
        (Axis { name: x, scale: Scale::Nines }, Axis { name: y, scale: Scale::Logarithmic });
    Plot { title, x, y, lines: lines.collect() }
}

fn over(
    title: &'static str,
    unit: &'static str,
    scale: Scale,
    lines: Vec<Line<'static>>,
) -> Plot<'static> {
    let x = Axis { name: "seconds", scale: Scale::Linear };
    Plot { title, x, y: Axis { name: unit, scale }, lines }
}

fn course(report: &Report, name: &'static str, value: fn(&Sample) -> Option<f64>) -> Line<'static> {
    let points = report.samples.iter().filter_map(|sample| Some((sample.at, value(sample)?)));
    Line { name, points: points.collect() }
}
