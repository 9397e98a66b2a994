//! Conversions between columns and our types. SQLite's integers are signed, most of ours are not.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};

use crate::cursor::{Check, Offset};
use crate::timestamp::Timestamp;

/// Converts a number to its stored form. Numbers above `i64::MAX` become `i64::MAX`.
pub(crate) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Converts an offset to its stored form. Every offset fits.
pub(crate) fn offset(offset: Offset) -> i64 {
    number(offset.get())
}

/// Reads our types from a row. A value that we cannot have written is an error.
pub(crate) trait Columns {
    fn number(&self, column: usize) -> Result<u64>;
    fn offset(&self, column: usize) -> Result<Offset>;
    fn offset_or_none(&self, column: usize) -> Result<Option<Offset>>;
    fn check(&self, column: usize) -> Result<Check>;
    fn time(&self, column: usize) -> Result<Timestamp>;
}

impl Columns for Row<'_> {
    fn number(&self, column: usize) -> Result<u64> {
        let stored: i64 = self.get(column)?;
        u64::try_from(stored).map_err(|_| Error::IntegralValueOutOfRange(column, stored))
    }

    fn offset(&self, column: usize) -> Result<Offset> {
        self.number(column).map(Offset::new)
    }

    fn offset_or_none(&self, column: usize) -> Result<Option<Offset>> {
        match self.get_ref(column)?.data_type() {
            Type::Null => Ok(None),
            _ => self.offset(column).map(Some),
        }
    }

    fn check(&self, column: usize) -> Result<Check> {
        let stored: i64 = self.get(column)?;
        match u32::try_from(stored) {
            Ok(number) if Check::new(number).get() == number => Ok(Check::new(number)),
            _ => Err(Error::IntegralValueOutOfRange(column, stored)),
        }
    }

    fn time(&self, column: usize) -> Result<Timestamp> {
        self.get(column).map(Timestamp::from_micros)
    }
}

/// The error for a value that has the right SQL type but is not valid.
pub(crate) fn invalid(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
