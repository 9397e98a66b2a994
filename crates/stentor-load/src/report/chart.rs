//! Charts as inline SVG.

use std::fmt::Write;

use crate::format::three_digits;

/// Size and margins of a chart in SVG units. The page scales it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 34.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 36.0;
/// Approximate number of grid lines of an axis.
const STEPS: f64 = 5.0;

pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: Axis<'a>,
    pub(crate) y: Axis<'a>,
    pub(crate) lines: Vec<Line<'a>>,
}

pub(crate) struct Axis<'a> {
    pub(crate) name: &'a str,
    pub(crate) scale: Scale,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scale {
    /// Starts at 0.
    Linear,
    /// Powers of ten.
    Logarithmic,
    /// Quantiles, with equal distances from 90 % to 99 %, from 99 % to 99.9 %, and so on.
    Nines,
}

pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Chart<'_> {
    /// The chart with its legend as HTML. `None` if no line has a point.
    pub(crate) fn svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| line.points.iter().copied());
        points().next()?;
        let x = Range::of(self.x.scale, points().map(|(x, _)| x));
        let y = Range::of(self.y.scale, points().map(|(_, y)| y)).with_headroom();
        let unit =
            if self.y.name.is_empty() { String::new() } else { format!(", {}", self.y.name) };
        let mut svg = format!(
            "<figure><figcaption>{}{unit}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(self.title),
            escaped(self.title)
        );
        grid(&mut svg, &x, &y);
        for (number, line) in self.lines.iter().enumerate() {
            let mut path = String::new();
            for &(at, value) in &line.points {
                let command = if path.is_empty() { 'M' } else { 'L' };
                // Writing to memory cannot fail.
                let _ = write!(path, "{command}{:.1} {:.1}", x.x(at), y.y(value));
            }
            let name = escaped(line.name);
            let _ = write!(
                svg,
                "<path class=\"line l{number}\" d=\"{path}\"><title>{name}</title></path>"
            );
            if let [(at, value)] = line.points[..] {
                let _ = write!(
                    svg,
                    "<circle class=\"dot l{number}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"/>",
                    x.x(at),
                    y.y(value)
                );
            }
        }
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text></svg>",
            WIDTH - RIGHT,
            HEIGHT - 4.0,
            escaped(self.x.name)
        );
        svg.push_str("<p class=\"legend\">");
        for (number, line) in self.lines.iter().enumerate() {
            let _ = write!(svg, "<span class=\"l{number}\">{}</span> ", escaped(line.name));
        }
        svg.push_str("</p></figure>\n");
        Some(svg)
    }
}

fn grid(svg: &mut String, x: &Range, y: &Range) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (value, label) in y.ticks() {
        let up = y.y(value);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {up:.1}H{right}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            up + 4.0
        );
    }
    for (value, label) in x.ticks() {
        let across = x.x(value);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{across:.1} {TOP}V{bottom}\"/>\
             <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 15.0
        );
    }
}

/// The range of values of an axis.
struct Range {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Range {
    fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Range {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        match scale {
            Scale::Linear => Range { scale, from: 0.0, to: if high > 0.0 { high } else { 1.0 } },
            Scale::Logarithmic => {
                let from = low.max(1e-6).log10().floor();
                Range { scale, from, to: high.max(1e-6).log10().ceil().max(from + 1.0) }
            }
            Scale::Nines => Range { scale, from: 0.0, to: nines(high) },
        }
    }

    /// Extends a linear range up to the next grid line.
    fn with_headroom(self) -> Range {
        let step = round_step(self.to / STEPS);
        let is_linear = self.scale == Scale::Linear;
        Range { to: if is_linear { (self.to / step).ceil() * step } else { self.to }, ..self }
    }

    /// Position of a value between the ends, from 0 to 1.
    fn position(&self, value: f64) -> f64 {
        let scaled = match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(1e-6).log10(),
            Scale::Nines => nines(value),
        };
        ((scaled - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.position(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.position(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// Values and labels of the grid lines.
    fn ticks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = round_step(self.to / STEPS);
                let ticks =
                    (0..=(self.to / step + 1e-9) as u32).map(|number| f64::from(number) * step);
                ticks.map(|value| (value, label(value))).collect()
            }
            Scale::Logarithmic => {
                let tens = (self.from as i32)..=(self.to as i32);
                tens.map(|ten| 10_f64.powi(ten)).map(|value| (value, label(value))).collect()
            }
            Scale::Nines => NINES
                .iter()
                .filter(|(value, _)| nines(*value) <= self.to)
                .map(|(value, name)| (*value, (*name).to_owned()))
                .collect(),
        }
    }
}

const NINES: [(f64, &str); 7] = [
    (0.0, "0"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
];

/// Number of nines of a quantile: 1 for 90 %, 2 for 99 %, and so on.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// Rounds a step up to 1, 2 or 5 times a power of ten.
fn round_step(step: f64) -> f64 {
    let ten = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|part| part * ten)
        .find(|round| *round >= step)
        .unwrap_or(10.0 * ten)
}

fn label(value: f64) -> String {
    match value {
        _ if value >= 1e6 => format!("{} M", short(value / 1e6)),
        _ if value >= 1e4 => format!("{} k", short(value / 1e3)),
        _ => short(value),
    }
}

/// A number without zeros at the end.
fn short(value: f64) -> String {
    if value.fract().abs() < f64::EPSILON {
        return three_digits(value).split('.').next().unwrap_or_default().to_owned();
    }
    let digits = (1.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Escapes text for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short() {
        let labels = [0.0, 0.5, 0.01, 0.025, 1.0, 250.0, 2000.0, 120_000.0, 2.5e6].map(label);
        assert_eq!(labels, ["0", "0.5", "0.01", "0.025", "1", "250", "2,000", "120 k", "2.5 M"]);
    }

    #[test]
    fn steps_are_round() {
        let steps = [0.13, 1.0, 3.0, 7.0, 2001.0].map(|step| label(round_step(step)));
        assert_eq!(steps, ["0.2", "1", "5", "10", "5,000"]);
    }

    #[test]
    fn a_plot_stays_within_its_frame() {
        let line = Line { name: "a<b", points: vec![(0.0, 0.5), (0.9, 3.0), (0.999, 80.0)] };
        let chart = Chart {
            title: "t",
            x: Axis { name: "", scale: Scale::Nines },
            y: Axis { name: "ms", scale: Scale::Logarithmic },
            lines: vec![line],
        };
        let svg = chart.svg().unwrap();
        let right = WIDTH - RIGHT;
        // 0 is at the left, 99.9 % at the right; 0.1 at the bottom, 100 at the top.
        assert!(
            svg.contains(&format!("M{LEFT:.1} ")) && svg.contains(&format!("L{right:.1} ")),
            "{svg}"
        );
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"), "{svg}");
        for label in ["0.1", "100", "99.9 %"] {
            assert!(svg.contains(&format!(">{label}</text>")), "{svg}");
        }
    }

    #[test]
    fn a_chart_without_points_is_not_drawn() {
        let axis = || Axis { name: "", scale: Scale::Linear };
        let lines = vec![Line { name: "", points: Vec::new() }];
        assert!(Chart { title: "", x: axis(), y: axis(), lines }.svg().is_none());
    }
}
