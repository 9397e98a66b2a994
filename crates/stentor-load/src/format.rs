//! Numbers and text as people read them.

/// A number with commas between thousands.
///
/// ```
/// assert_eq!(stentor_load::format::count(1_234_567), "1,234,567");
/// ```
pub fn count(number: u64) -> String {
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

/// A time, given in milliseconds, with three digits and a unit that fits.
///
/// ```
/// assert_eq!(stentor_load::format::milliseconds(12.34), "12.3 ms");
/// ```
pub fn milliseconds(time: f64) -> String {
    match time {
        _ if time >= 999.5 => format!("{} s", three_digits(time / 1e3)),
        _ if time >= 0.9995 => format!("{} ms", three_digits(time)),
        _ => format!("{} µs", three_digits(time * 1e3)),
    }
}

/// A number of bytes in B, KiB or MiB.
pub fn bytes(number: f64) -> String {
    match number {
        _ if number >= f64::from(1 << 20) => {
            format!("{} MiB", three_digits(number / f64::from(1 << 20)))
        }
        _ if number >= 1024.0 => format!("{} KiB", three_digits(number / 1024.0)),
        _ => format!("{number:.0} B"),
    }
}

/// A share as a percentage without decimals.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A number with at least three significant digits.
pub(crate) fn three_digits(number: f64) -> String {
    match number.abs() {
        size if size >= 999.5 => count(number.round() as u64),
        size if size >= 99.95 => format!("{number:.0}"),
        size if size >= 9.995 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Text on one line, with control characters escaped: a server must not be able to control the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character == '\\' || (character.is_control() && character != '\t') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        let counts = [0, 999, 1000, 123_456, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn a_number_has_three_digits_and_a_unit_that_fits() {
        let times = [0.0123, 0.5, 1.0, 12.34, 999.9, 61_000.0].map(milliseconds);
        assert_eq!(times, ["12.3 µs", "500 µs", "1.00 ms", "12.3 ms", "1.00 s", "61.0 s"]);
        assert_eq!([10.0, 2048.0, 3.5e6].map(bytes), ["10 B", "2.00 KiB", "3.34 MiB"]);
    }

    #[test]
    fn printable_text_is_one_line_and_harmless() {
        assert_eq!(printable("a\r\nb\\n\tc"), "a\\r\\nb\\\\n\tc");
        assert_eq!(printable("\x1b[2J\u{9b}ü"), "\\u{1b}[2J\\u{9b}ü");
    }
}
