//! What a user of the log can see, and what must not be seen.

use super::*;

crate::conformance_tests!(|| async {
    let directory = tempfile::tempdir().unwrap();
    (SqliteStorage::open(directory.path()).unwrap(), directory)
});
