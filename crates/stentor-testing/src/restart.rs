//! Servers that a test can restart.

use std::ops::Deref;

use crate::TestClient;

/// A running server that a scenario can restart, and the client that sends requests to it.
pub trait RestartableServer: Deref<Target = TestClient> {
    /// Restarts the server with the same log directory and address. Resolves when the server listens again.
    ///
    /// The implementation decides how the server ends: by a clean stop or by a kill.
    fn restart(&mut self) -> impl Future<Output = ()>;
}
