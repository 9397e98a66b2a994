//! Checksums of rows: CRC-32C over their fields.

use std::ops::Range;

use rusqlite::types::{Type, Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::column::invalid;

/// The value in place of a checksum in a log of an older format, which has none. No damaged checksum can look like it.
pub(crate) const UNCHECKED: &str = "unchecked";

/// A checksum under construction. Every field is delimited, so two different rows have different inputs.
pub(crate) struct Sum {
    crc: u32,
    /// Short fields are collected here, because a call of the CRC function costs more than a few bytes.
    buffer: [u8; Sum::BUFFER],
    used: usize,
}

impl Sum {
    /// Size of the buffer in bytes: the numbers of every row fit.
    const BUFFER: usize = 128;
    /// In place of the length of a text that is NULL. No text is that long.
    const NULL: u32 = u32::MAX;

    pub(crate) fn new() -> Sum {
        Sum { crc: 0, buffer: [0; Sum::BUFFER], used: 0 }
    }

    /// Adds a number.
    pub(crate) fn number(mut self, number: i64) -> Sum {
        self.add(&number.to_le_bytes());
        self
    }

    /// Adds a number that may be NULL.
    pub(crate) fn number_or_null(mut self, number: Option<i64>) -> Sum {
        if let Some(number) = number {
            return self.number(number);
        }
        self.add(&[0xff]);
        self
    }

    /// Adds a text or a blob with its length.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Sum {
        self.bytes_or_null(Some(bytes))
    }

    /// Adds a text or a blob that may be NULL.
    pub(crate) fn bytes_or_null(mut self, bytes: Option<&[u8]>) -> Sum {
        let length =
            bytes.map_or(Sum::NULL, |bytes| u32::try_from(bytes.len()).unwrap_or(Sum::NULL));
        self.add(&length.to_le_bytes());
        self.add(bytes.unwrap_or_default());
        self
    }

    /// Returns the checksum as it is stored.
    pub(crate) fn finish(mut self) -> i64 {
        self.flush();
        i64::from(self.crc.cast_signed())
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.used + bytes.len() > Sum::BUFFER {
            self.flush();
        }
        match self.buffer.get_mut(self.used..self.used + bytes.len()) {
            Some(free) => {
                free.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            None => self.crc = crc32c::crc32c_append(self.crc, bytes),
        }
    }

    fn flush(&mut self) {
        let used = self.buffer.get(..self.used).unwrap_or_default();
        self.crc = crc32c::crc32c_append(self.crc, used);
        self.used = 0;
    }

    /// Computes the checksum of the first `columns` columns of a row.
    pub(crate) fn of_columns(row: &Row<'_>, columns: usize) -> rusqlite::Result<i64> {
        Sum::of_range(row, 0..columns)
    }

    /// Computes the checksum of some columns of a row.
    pub(crate) fn of_range(row: &Row<'_>, columns: Range<usize>) -> rusqlite::Result<i64> {
        let mut sum = Sum::new();
        for column in columns {
            sum = match row.get_ref(column)? {
                ValueRef::Null => sum.number_or_null(None),
                ValueRef::Integer(number) => sum.number(number),
                ValueRef::Real(number) => sum.number(number.to_bits().cast_signed()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => sum.bytes(bytes),
            };
        }
        Ok(sum.finish())
    }
}

/// Compares the checksum in a column with `computed`, which is called only if the log has checksums.
pub(crate) fn check(
    row: &Row<'_>,
    column: usize,
    computed: impl FnOnce() -> i64,
) -> rusqlite::Result<()> {
    match row.get_ref(column)? {
        ValueRef::Integer(stored) if stored == computed() => Ok(()),
        ValueRef::Text(text) if text == UNCHECKED.as_bytes() => Ok(()),
        _ => Err(invalid(column, Type::Integer, WrongSum)),
    }
}

/// Checks a row whose last column, number `column`, is the checksum of all columns before it.
pub(crate) fn check_columns(row: &Row<'_>, column: usize) -> rusqlite::Result<()> {
    let computed = Sum::of_columns(row, column)?;
    check(row, column, || computed)
}

/// Returns `true` if the log that the row is from has checksums in this column.
pub(crate) fn is_checked(row: &Row<'_>, column: usize) -> rusqlite::Result<bool> {
    Ok(row.get_ref(column)?.data_type() != Type::Text)
}

/// Computes and stores the checksums of the rows of a table that match `condition`, after a change of some columns.
///
/// Works in steps, so the memory is bounded.
pub(crate) fn seal(
    connection: &Connection,
    table: Sealed,
    condition: &str,
) -> rusqlite::Result<()> {
    /// Number of rows in a step.
    const STEP: usize = 1_000;
    let Sealed { name, keys, columns } = table;
    let key = keys.join(", ");
    let count = columns.split(',').count();
    let first = format!(
        "SELECT {columns}, {key} FROM {name} WHERE {condition} ORDER BY {key} LIMIT {STEP}"
    );
    let parameters = |from: usize| {
        let numbers: Vec<String> = (0..keys.len()).map(|at| format!("?{}", at + from)).collect();
        numbers.join(", ")
    };
    let next = format!(
        "SELECT {columns}, {key} FROM {name} WHERE {condition} AND ({key}) > ({}) ORDER BY {key} LIMIT {STEP}",
        parameters(1)
    );
    let mut update = connection.prepare_cached(&format!(
        "UPDATE {name} SET sum = ?1 WHERE ({key}) = ({})",
        parameters(2)
    ))?;
    let mut last: Option<Vec<Value>> = None;
    loop {
        let mut select = connection.prepare_cached(if last.is_some() { &next } else { &first })?;
        let rows = select.query_map(params_from_iter(last.unwrap_or_default()), |row| {
            let mut values = vec![Value::Integer(Sum::of_columns(row, count)?)];
            for at in 0..keys.len() {
                values.push(row.get(count + at)?);
            }
            Ok(values)
        })?;
        let rows: Vec<Vec<Value>> = rows.collect::<Result<_, _>>()?;
        for row in &rows {
            update.execute(params_from_iter(row))?;
        }
        match rows.into_iter().nth(STEP - 1) {
            Some(row) => last = Some(row.into_iter().skip(1).collect()),
            None => return Ok(()),
        }
    }
}

/// A table whose rows [`seal`] can seal.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    pub(crate) name: &'static str,
    /// The columns that identify a row.
    pub(crate) keys: &'static [&'static str],
    /// The columns that the checksum covers.
    pub(crate) columns: &'static str,
}

/// The error for a row that does not match its checksum.
#[derive(Debug, thiserror::Error)]
#[error("it does not match its checksum")]
pub(crate) struct WrongSum;

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn the_same_bytes_in_other_fields_have_another_sum() {
        let split =
            |one: &str, two: &str| Sum::new().bytes(one.as_bytes()).bytes(two.as_bytes()).finish();
        assert_ne!(split("ab", "c"), split("a", "bc"));
        assert_ne!(Sum::new().bytes(b"").finish(), Sum::new().bytes_or_null(None).finish());
        assert_ne!(Sum::new().number(-1).finish(), Sum::new().number_or_null(None).finish());
    }

    #[test]
    fn a_long_text_counts_as_one_field() {
        let long = "x".repeat(1_000);
        let sum = Sum::new().number(7).bytes(long.as_bytes()).number(8).finish();
        let mut all = 7_i64.to_le_bytes().to_vec();
        all.extend(1_000_u32.to_le_bytes());
        all.extend(long.as_bytes());
        all.extend(8_i64.to_le_bytes());
        assert_eq!(sum, i64::from(crc32c::crc32c(&all).cast_signed()));
    }
}
