//! The result as text.

use std::fmt::Write;

use crate::format::{bytes, count, milliseconds, percent, printable, three_digits};
use crate::latency::Summary;
use crate::report::data::{Arrivals, Churn, Delivery, Publish, Report, Server, Unit};

/// The report as lines of text: one line for each result, a table of latencies, and notes.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for (name, value) in lines(report) {
        // Writing to memory cannot fail.
        let _ = writeln!(text, "{name:<16} {value}");
    }
    if let Some(rows) = latencies(report) {
        let _ = writeln!(
            text,
            "\n{:<28} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "p50", "p90", "p99", "p99.9", "max"
        );
        for (name, summary) in rows {
            let [p50, p90, p99, p999, max] =
                [summary.p50, summary.p90, summary.p99, summary.p999, summary.max]
                    .map(milliseconds);
            let _ = writeln!(text, "{name:<28} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}");
        }
    }
    for problem in &report.problems {
        let _ = writeln!(text, "\n{} × {}", count(problem.count), printable(&problem.what));
    }
    for remark in &report.load.remarks {
        let _ = writeln!(text, "\nnote: {remark}");
    }
    if report.was_interrupted {
        text += "\nnote: the run was interrupted; these are the results up to then\n";
    }
    text
}

/// All results but the latencies, as pairs of label and text.
pub(crate) fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = vec![("target", printable(&report.setting.url))];
    if report.setting.subscribers > 0 {
        lines.push(("connected", connected(report)));
    }
    if let Some(publish) = &report.publish {
        lines.push(("published", published(publish, report.setting.size)));
    }
    if let Some(churn) = &report.churn {
        lines.push(("churn", churned(churn)));
    }
    if let Some(delivery) = report.delivery.as_ref().filter(|_| report.unit == Unit::Delivery) {
        lines.extend(delivered(delivery));
    }
    if let Some(arrivals) = &report.arrivals {
        lines.extend(arrived(arrivals));
    }
    if let Some(storms) = &report.storms {
        let [storms, dropped, returned] =
            [storms.count, storms.dropped, storms.returned].map(count);
        lines.push((
            "storms",
            format!("{storms}; {dropped} connections dropped, {returned} reconnected"),
        ));
    }
    if let Some(slow) = &report.slow {
        let [slow, closed] = [slow.readers as u64, slow.closed_by_server].map(count);
        lines.push(("slow subscribers", format!("{slow}; the server closed {closed} of them")));
    }
    if let Some(server) = &report.server {
        lines.extend(server_usage(server, report.unit));
    }
    if let Some(cores) = report.load.cores {
        let each = each_unit(report.load.cpu_us_per_unit, report.unit);
        lines.push(("bench CPU", format!("{} of a core{each}", percent(cores))));
    }
    lines
}

fn connected(report: &Report) -> String {
    let connect = &report.connect;
    let over = connect.http2_connections.map_or_else(String::new, |connections| {
        format!(" on {} HTTP/2 connections", count(connections as u64))
    });
    let mut line = format!(
        "{} of {} subscribers{over} in {} s, {} per second",
        count(connect.connected as u64),
        count(report.setting.subscribers.into()),
        three_digits(connect.seconds),
        count(connect.per_second as u64)
    );
    if connect.cut > 0 {
        let _ = write!(line, "; {} cut later", count(connect.cut));
    }
    if connect.gave_up > 0 {
        let _ = write!(line, "; {} gave up", count(connect.gave_up));
    }
    line
}

fn published(publish: &Publish, size: u32) -> String {
    let mut line = format!(
        "{} events of {} bytes in {} s, {} per second",
        count(publish.acknowledged),
        count(size.into()),
        three_digits(publish.seconds),
        three_digits(publish.per_second)
    );
    if publish.refused > 0 {
        let _ = write!(line, "; {} refused", count(publish.refused));
    }
    line
}

fn churned(churn: &Churn) -> String {
    let mut line = format!(
        "{} connections in {} s, {} per second",
        count(churn.connections),
        three_digits(churn.seconds),
        count(churn.per_second as u64)
    );
    if churn.failed > 0 {
        let _ = write!(line, "; {} failed", count(churn.failed));
    }
    line
}

fn delivered(delivery: &Delivery) -> Vec<(&'static str, String)> {
    let Delivery { lost, duplicated, out_of_order, misrouted, foreign, .. } = *delivery;
    let mut lines = vec![
        (
            "delivered",
            format!(
                "{} of {}, {} per second, {} per second",
                count(delivery.received),
                count(delivery.expected),
                count(delivery.per_second as u64),
                bytes(delivery.bytes_per_second)
            ),
        ),
        ("faults", faults(lost, duplicated, out_of_order)),
    ];
    if misrouted > 0 {
        lines.push(("misrouted", format!("{} events of another topic", count(misrouted))));
    }
    if foreign > 0 {
        lines.push(("foreign", format!("{} events of other publishers", count(foreign))));
    }
    lines
}

pub(crate) fn faults(lost: u64, duplicated: u64, out_of_order: u64) -> String {
    let [lost, duplicated, out_of_order] = [lost, duplicated, out_of_order].map(count);
    format!("{lost} lost, {duplicated} duplicated, {out_of_order} out of order")
}

fn arrived(arrivals: &Arrivals) -> [(&'static str, String); 2] {
    [
        (
            "arrived",
            format!(
                "{} events in {} s, {} per second, {} per second and subscriber",
                count(arrivals.events),
                three_digits(arrivals.seconds),
                three_digits(arrivals.per_second),
                three_digits(arrivals.per_second_and_reader)
            ),
        ),
        (
            "bytes",
            format!(
                "{} per second; data of an event: {} on average",
                bytes(arrivals.bytes_per_second),
                bytes(arrivals.mean_bytes)
            ),
        ),
    ]
}

fn server_usage(server: &Server, unit: Unit) -> [(&'static str, String); 2] {
    let each = server.memory_per_reader_bytes.filter(|each| *each > 0.0);
    let mut each = each.map(|each| format!(", {} per connected subscriber", bytes(each)));
    let connection = server.memory_per_connection_bytes.filter(|_| each.is_some());
    if let (Some(text), Some(connection)) = (&mut each, connection) {
        let _ = write!(text, ", {} per connection", bytes(connection));
    }
    [
        (
            "server CPU",
            format!(
                "{} of a core, {} s ({} s user){}",
                percent(server.cores),
                three_digits(server.cpu_user_seconds + server.cpu_system_seconds),
                three_digits(server.cpu_user_seconds),
                each_unit(server.cpu_us_per_unit, unit)
            ),
        ),
        (
            "server memory",
            format!(
                "{} at the end{}",
                bytes(server.memory_end_bytes as f64),
                each.unwrap_or_default()
            ),
        ),
    ]
}

/// The end of a line about CPU time: `, 1.23 µs per delivery`.
fn each_unit(microseconds: Option<f64>, unit: Unit) -> String {
    microseconds
        .map(|each| format!(", {} µs per {}", three_digits(each), unit.name()))
        .unwrap_or_default()
}

/// All latencies of the run, as pairs of label and summary. `None` if there are none.
pub(crate) fn latencies(report: &Report) -> Option<Vec<(&'static str, &Summary)>> {
    let mut rows: Vec<(&'static str, Option<&Summary>)> = Vec::new();
    if let Some(delivery) = &report.delivery {
        rows.push(("delivery", delivery.latency.as_ref()));
        rows.push(("delivery to last subscriber", delivery.latency_to_last.as_ref()));
    }
    if let Some(arrivals) = &report.arrivals {
        rows.push(("time between arrivals", arrivals.gap.as_ref()));
    }
    if let Some(publish) = &report.publish {
        rows.push(("publish to acknowledgement", publish.acknowledgement.as_ref()));
        let delay = publish.send_lag.as_ref().filter(|_| report.setting.rate.is_some());
        rows.push(("send delay", delay));
    }
    rows.push(("connect to response head", report.connect.head.as_ref()));
    if let Some(churn) = &report.churn {
        rows.push(("churn: connect to head", churn.head.as_ref()));
    }
    if let Some(storms) = &report.storms {
        rows.push(("storm: reconnect to head", storms.head.as_ref()));
        rows.push(("storm: until all are back", storms.all_back.as_ref()));
    }
    let rows: Vec<_> =
        rows.into_iter().filter_map(|(name, summary)| Some((name, summary?))).collect();
    (!rows.is_empty()).then_some(rows)
}
