//! Records at given offsets, in steps.

use std::sync::Arc;

use super::snapshot::Snapshot;
use super::step::Stepped;
use crate::cursor::Offset;
use crate::record::Record;
use crate::storage::sqlite::db_error::DbError;

/// Maximum bytes of records after which a step ends.
const STEP_BYTES: usize = 4 << 20;

/// See [`Storage::fetch`](crate::storage::Storage::fetch). A record never changes, so it makes no difference which
/// snapshot it is read from. One that is removed during the query may be missing. Damaged ones are left out.
pub(crate) struct FetchQuery {
    offsets: std::vec::IntoIter<Offset>,
    records: Vec<Arc<Record>>,
}

impl FetchQuery {
    pub(crate) fn new(offsets: Vec<Offset>) -> FetchQuery {
        FetchQuery { offsets: offsets.into_iter(), records: Vec::new() }
    }
}

impl Stepped for FetchQuery {
    type Output = Vec<Arc<Record>>;

    fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Vec<Arc<Record>>>, DbError> {
        let mut bytes = 0;
        while snapshot.work() < rows_max && bytes < STEP_BYTES {
            let Some(offset) = self.offsets.next() else {
                return Ok(Some(std::mem::take(&mut self.records)));
            };
            snapshot.count_row();
            if offset > snapshot.tail {
                continue;
            }
            match snapshot.record(offset) {
                Ok(Some(record)) => {
                    bytes += record.body().bytes();
                    self.records.push(record);
                }
                Ok(None) => {}
                Err(error) if error.is_corrupt() => snapshot.note_damage(offset, None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
