//! `stentor man`, and the exit codes in every help.

use crate::harness::stentor;

#[tokio::test]
async fn the_manual_page_is_printed() {
    let done = stentor(&["man"]).run().await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
    assert!(done.stdout.contains(".TH stentor 1"), "{}", done.stdout);
    assert!(done.stdout.contains("stentor\\-pub(1)"), "{}", done.stdout);
    assert!(done.stdout.contains(".SH \"EXIT STATUS\"\n"), "{}", done.stdout);
}

#[tokio::test]
async fn each_command_gets_a_page_in_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("share/man1");
    let done = stentor(&["man", path.to_str().unwrap()]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), ""), "{done:?}");
    for name in ["stentor", "stentor-pub", "stentor-log-backup"] {
        let page = std::fs::read_to_string(path.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
    }
    let done = stentor(&["man", "/dev/null/man1"]).run().await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.stderr.contains("cannot write to /dev/null/man1"), "{done:?}");
}

#[tokio::test]
async fn every_help_lists_the_exit_codes() {
    for command in [&["serve"][..], &["pub"], &["sub"], &["man"], &["log", "verify"], &[]] {
        let args: Vec<_> = command.iter().chain(&["--help"]).copied().collect();
        let done = stentor(&args).run().await;
        assert_eq!(done.code, Some(0), "{command:?}");
        assert!(done.stdout.contains("Exit codes:\n  0  "), "{command:?}: {}", done.stdout);
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_2() {
    for args in [&["pub"][..], &["nonsense"], &["pub", "t", "--no-such-option"]] {
        let done = stentor(args).run().await;
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{args:?}");
    }
}
