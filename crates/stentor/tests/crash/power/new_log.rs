//! Creating a log on a watched disk, and on a full one.

use super::journal::Change;
use super::server::TestServer;
use super::shim::Shim;
use crate::harness::{StentorCommand, stentor};

/// A command that runs under the shim.
fn command_with_shim(shim: &Shim, args: &[&str]) -> StentorCommand {
    let environment = shim.environment();
    environment
        .iter()
        .fold(stentor(args), |call, (name, value)| call.env(name, value.to_str().unwrap()))
}

#[tokio::test]
async fn each_directory_created_for_a_log_is_synced() {
    let shim = Shim::new();
    TestServer::with_shim(&shim, &["--data", "a/b/c"]).await.kill().await;
    let synced = |dir: &str| {
        let is_it = |change: &Change| matches!(change, Change::SyncDir { name } if name == dir);
        shim.entries(0).iter().any(|entry| is_it(&entry.change))
    };
    for dir in ["", "a", "a/b"] {
        assert!(synced(dir), "{dir:?} in {:?}", shim.entries(0));
    }
}

#[tokio::test]
async fn a_new_log_without_space_is_not_created_and_its_disk_is_named() {
    let shim = Shim::new();
    let [old, new] = ["old", "new"].map(|name| shim.root().join(name));
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let lines = format!("{{\"topic\":\"a\",\"data\":\"{}\"}}\n", "x".repeat(5_000)).repeat(100);
    let made =
        command_with_shim(&shim, &["log", "import", "--data", old]).stdin(&*lines).run().await;
    assert_eq!(made.code, Some(0), "{made:?}");
    shim.set_free_space(100_000);
    let import =
        command_with_shim(&shim, &["log", "import", "--data", new]).stdin(&*lines).run().await;
    let backup = command_with_shim(&shim, &["log", "backup", "--data", old, new]).run().await;
    for done in [import, backup] {
        assert_eq!(done.code, Some(1), "{done:?}");
        assert!(done.stderr.contains(&format!("the disk of {new} is full")), "{done:?}");
    }
    assert!(!std::path::Path::new(new).exists());
}
