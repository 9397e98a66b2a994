//! Plots as inline SVG, with nothing but what is in the page.

use std::fmt::Write;

use super::super::figures::three_digits;

/// The drawing, in its own units; the page scales it.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 34.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 36.0;
/// About so many lines of the grid on an axis.
const STEPS: f64 = 5.0;

pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) x: Axis<'a>,
    pub(super) y: Axis<'a>,
    pub(super) lines: Vec<Line<'a>>,
}

pub(super) struct Axis<'a> {
    pub(super) name: &'a str,
    pub(super) scale: Scale,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From nought.
    Linear,
    /// By tens.
    Logarithmic,
    /// Of quantiles, from nine to nine.
    Nines,
}

pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(f64, f64)>,
}

impl Plot<'_> {
    /// A figure with its legend; `None` when there is nothing to draw.
    pub(super) fn svg(&self) -> Option<String> {
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
                // Writing to memory does not fail.
                let _ = write!(path, "{command}{:.1} {:.1}", x.across(at), y.up(value));
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
                    x.across(at),
                    y.up(value)
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
    for (value, label) in y.marks() {
        let up = y.up(value);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {up:.1}H{right}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            up + 4.0
        );
    }
    for (value, label) in x.marks() {
        let across = x.across(value);
        let _ = write!(
            svg,
            "<path class=\"grid\" d=\"M{across:.1} {TOP}V{bottom}\"/>\
             <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            bottom + 15.0
        );
    }
}

/// What an axis shows, and how.
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
            Scale::Nines => Range { scale, from: 0.0, to: place_of(high) },
        }
    }

    /// Up to the next line of the grid.
    fn with_headroom(self) -> Range {
        let step = round_step(self.to / STEPS);
        let is_linear = self.scale == Scale::Linear;
        Range { to: if is_linear { (self.to / step).ceil() * step } else { self.to }, ..self }
    }

    /// Where a value is between the ends, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let place = match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.max(1e-6).log10(),
            Scale::Nines => place_of(value),
        };
        ((place - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    fn across(&self, value: f64) -> f64 {
        LEFT + self.part(value) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.part(value) * (HEIGHT - TOP - BOTTOM)
    }

    /// Where lines of the grid are, and what is written there.
    fn marks(&self) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Linear => {
                let step = round_step(self.to / STEPS);
                let marks =
                    (0..=(self.to / step + 1e-9) as u32).map(|number| f64::from(number) * step);
                marks.map(|value| (value, label(value))).collect()
            }
            Scale::Logarithmic => {
                let tens = (self.from as i32)..=(self.to as i32);
                tens.map(|ten| 10_f64.powi(ten)).map(|value| (value, label(value))).collect()
            }
            Scale::Nines => NINES
                .iter()
                .filter(|(value, _)| place_of(*value) <= self.to)
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

/// Each nine of a quantile takes as much room as the one before.
fn place_of(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// The next of 1, 2, 5, 10, …
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

/// Without noughts at the end.
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

/// Text that is no markup.
pub(super) fn escaped(text: &str) -> String {
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
        let plot = Plot {
            title: "t",
            x: Axis { name: "", scale: Scale::Nines },
            y: Axis { name: "ms", scale: Scale::Logarithmic },
            lines: vec![line],
        };
        let svg = plot.svg().unwrap();
        let right = WIDTH - RIGHT;
        // Nought is at the left, three nines at the right; 0.1 at the bottom, 100 at the top.
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
    fn nothing_is_not_drawn() {
        let axis = || Axis { name: "", scale: Scale::Linear };
        let lines = vec![Line { name: "", points: Vec::new() }];
        assert!(Plot { title: "", x: axis(), y: axis(), lines }.svg().is_none());
    }
}
