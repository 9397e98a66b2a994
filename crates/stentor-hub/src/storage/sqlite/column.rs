//! Numbers in columns. SQLite's are signed, ours are not.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};

use crate::cursor::{Check, Offset};
use crate::timestamp::Timestamp;

/// A number as it is stored; larger ones than SQLite holds become the largest.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// An offset as it is stored; every one fits.
pub(super) fn offset(offset: Offset) -> i64 {
    number(offset.get())
}

/// Reads our values from a row, and never takes one that we did not write.
pub(super) trait Columns {
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

/// A value that is stored in the right type and yet makes no sense.
pub(super) fn senseless(
    column: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::FromSqlConversionFailure(column, kind, Box::new(error))
}
