//! The result as text.

use std::fmt::Write;

use super::super::figures::{bytes, count, milliseconds, per_cent, three_digits};
use super::super::meter::Summary;
use super::{Report, Unit};
use crate::output::escaped;

/// Lines of a name and what is to be said of it.
pub(in super::super) fn table(report: &Report) -> String {
    let mut text = String::new();
    for (name, value) in lines(report) {
        // Writing to memory does not fail.
        let _ = writeln!(text, "{name:<16} {value}");
    }
    if let Some(rows) = times(report) {
        let _ = writeln!(
            text,
            "\n{:<26} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "p50", "p90", "p99", "p99.9", "max"
        );
        for (name, times) in rows {
            let [p50, p90, p99, p999, max] =
                [times.p50, times.p90, times.p99, times.p999, times.max].map(milliseconds);
            let _ = writeln!(text, "{name:<26} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {max:>9}");
        }
    }
    for problem in &report.problems {
        let _ = writeln!(text, "\n{} × {}", count(problem.count), escaped(&problem.what));
    }
    for remark in &report.load.remarks {
        let _ = writeln!(text, "\nnote: {remark}");
    }
    if report.was_interrupted {
        text += "\nnote: interrupted; this is what was measured until then\n";
    }
    text
}

/// What there is to say, but times.
pub(super) fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = vec![("target", escaped(&report.setting.url))];
    if report.setting.subscribers > 0 {
        lines.push(("connected", connected(report)));
    }
    if let Some(publish) = &report.publish {
        let mut line = format!(
            "{} events in {} s, {} a second, of {} bytes",
            count(publish.acknowledged),
            three_digits(publish.seconds),
            three_digits(publish.per_second),
            count(report.setting.size.into())
        );
        if publish.refused > 0 {
            let _ = write!(line, "; {} refused", count(publish.refused));
        }
        lines.push(("published", line));
    }
    if let Some(churn) = &report.churn {
        let mut line = format!(
            "{} connections in {} s, {} a second",
            count(churn.connections),
            three_digits(churn.seconds),
            count(churn.per_second as u64)
        );
        if churn.failed > 0 {
            let _ = write!(line, "; {} failed", count(churn.failed));
        }
        lines.push(("came and went", line));
    }
    if let Some(delivery) = report.delivery.as_ref().filter(|_| report.unit == Unit::Delivery) {
        lines.push((
            "delivered",
            format!(
                "{} of {}, {} a second, {} a second",
                count(delivery.received),
                count(delivery.expected),
                count(delivery.per_second as u64),
                bytes(delivery.bytes_per_second)
            ),
        ));
        lines.push((
            "faults",
            format!(
                "{} lost, {} doubled, {} out of order",
                count(delivery.lost),
                count(delivery.duplicated),
                count(delivery.out_of_order)
            ),
        ));
        if delivery.misrouted > 0 {
            lines.push(("misrouted", format!("{} of another topic", count(delivery.misrouted))));
        }
        if delivery.foreign > 0 {
            lines.push(("others", format!("{} events that are not ours", count(delivery.foreign))));
        }
    }
    if let Some(arrivals) = &report.arrivals {
        lines.push((
            "arrived",
            format!(
                "{} events in {} s, {} a second, {} a second for each reader",
                count(arrivals.events),
                three_digits(arrivals.seconds),
                three_digits(arrivals.per_second),
                three_digits(arrivals.per_second_and_reader)
            ),
        ));
        lines.push((
            "bytes",
            format!(
                "{} a second, data of an event {} on the average",
                bytes(arrivals.bytes_per_second),
                bytes(arrivals.mean_bytes)
            ),
        ));
    }
    lines.extend(beside(report));
    lines
}

fn connected(report: &Report) -> String {
    let connect = &report.connect;
    let mut line = format!(
        "{} of {} readers in {} s, {} a second",
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

/// Storms, slow readers, and what it cost.
fn beside(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(storms) = &report.storms {
        lines.push((
            "storms",
            format!(
                "{}; {} connections dropped, {} came back",
                count(storms.count),
                count(storms.dropped),
                count(storms.returned)
            ),
        ));
    }
    if let Some(slow) = &report.slow {
        lines.push((
            "slow readers",
            format!(
                "{}, of which the server closed {}",
                count(slow.readers as u64),
                count(slow.closed_by_server)
            ),
        ));
    }
    if let Some(server) = &report.server {
        let each = server
            .cpu_us_per_unit
            .map(|each| format!(", {} µs {}", three_digits(each), report.unit.word()));
        lines.push((
            "server CPU",
            format!(
                "{} of a core, {} s ({} user){}",
                per_cent(server.cores),
                three_digits(server.cpu_user_seconds + server.cpu_system_seconds),
                three_digits(server.cpu_user_seconds),
                each.unwrap_or_default()
            ),
        ));
        let each = server.memory_per_reader_bytes.filter(|each| *each > 0.0);
        let each = each.map(|each| format!(", {} for each reader that connected", bytes(each)));
        lines.push((
            "server memory",
            format!(
                "{} at the end{}",
                bytes(server.memory_end_bytes as f64),
                each.unwrap_or_default()
            ),
        ));
    }
    if let Some(cores) = report.load.cores {
        let each = report.load.cpu_us_per_unit;
        let each = each.map(|each| format!(", {} µs {}", three_digits(each), report.unit.word()));
        lines.push((
            "load CPU",
            format!("{} of a core{}", per_cent(cores), each.unwrap_or_default()),
        ));
    }
    lines
}

/// All the times that were taken.
pub(super) fn times(report: &Report) -> Option<Vec<(&'static str, &Summary)>> {
    let mut rows: Vec<(&'static str, Option<&Summary>)> = Vec::new();
    if let Some(delivery) = &report.delivery {
        rows.push(("delivery", delivery.latency.as_ref()));
        rows.push(("delivery to the last", delivery.latency_to_last.as_ref()));
    }
    if let Some(arrivals) = &report.arrivals {
        rows.push(("gap between arrivals", arrivals.gap.as_ref()));
    }
    if let Some(publish) = &report.publish {
        rows.push(("acknowledgement", publish.acknowledgement.as_ref()));
        let lag = publish.send_lag.as_ref().filter(|_| report.setting.rate.is_some());
        rows.push(("sent late by", lag));
    }
    rows.push(("connect to head", report.connect.head.as_ref()));
    if let Some(churn) = &report.churn {
        rows.push(("the same, coming and going", churn.head.as_ref()));
    }
    if let Some(storms) = &report.storms {
        rows.push(("coming back to head", storms.head.as_ref()));
        rows.push(("storm until all were back", storms.all_back.as_ref()));
    }
    let rows: Vec<_> = rows.into_iter().filter_map(|(name, times)| Some((name, times?))).collect();
    (!rows.is_empty()).then_some(rows)
}
