//! Figures as people read them.

/// With commas between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits, and a unit that fits.
pub(super) fn milliseconds(time: f64) -> String {
    match time {
        _ if time >= 999.5 => format!("{} s", three_digits(time / 1e3)),
        _ if time >= 0.9995 => format!("{} ms", three_digits(time)),
        _ => format!("{} µs", three_digits(time * 1e3)),
    }
}

pub(super) fn bytes(number: f64) -> String {
    match number {
        _ if number >= f64::from(1 << 20) => {
            format!("{} MiB", three_digits(number / f64::from(1 << 20)))
        }
        _ if number >= 1024.0 => format!("{} KiB", three_digits(number / 1024.0)),
        _ => format!("{number:.0} B"),
    }
}

pub(super) fn per_cent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

pub(super) fn three_digits(number: f64) -> String {
    match number.abs() {
        size if size >= 999.5 => count(number.round() as u64),
        size if size >= 99.95 => format!("{number:.0}"),
        size if size >= 9.995 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let counts = [0, 999, 1000, 123_456, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn a_figure_has_three_digits_and_a_unit_that_fits() {
        let times = [0.0123, 0.5, 1.0, 12.34, 999.9, 61_000.0].map(milliseconds);
        assert_eq!(times, ["12.3 µs", "500 µs", "1.00 ms", "12.3 ms", "1.00 s", "61.0 s"]);
        assert_eq!([10.0, 2048.0, 3.5e6].map(bytes), ["10 B", "2.00 KiB", "3.34 MiB"]);
    }
}
