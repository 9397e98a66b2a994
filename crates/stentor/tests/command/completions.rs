//! `stentor completions`.

use crate::harness::stentor;

#[tokio::test]
async fn a_shell_can_complete_the_commands() {
    for (shell, words) in [
        ("bash", "complete -F _stentor"),
        ("zsh", "#compdef stentor"),
        ("fish", "complete -c stentor"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[stentor]"),
    ] {
        let done = stentor(&["completions", shell]).run().await;
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(done.stdout.contains(words), "{shell}");
    }
}

#[tokio::test]
async fn bash_accepts_its_script() {
    let script = stentor(&["completions", "bash"]).run().await.stdout;
    let script = format!(
        "{script}\nCOMP_WORDS=(stentor comp); COMP_CWORD=1; _stentor stentor comp stentor\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let done = tokio::process::Command::new("bash").args(["-c", &script]).output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "completions\n", "{done:?}");
}

#[tokio::test]
async fn an_unknown_shell_is_a_wrong_command_line() {
    let done = stentor(&["completions", "csh"]).run().await;
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
    assert!(done.stderr.contains("bash"), "{done:?}");
}

#[tokio::test]
async fn a_closed_stdout_is_not_an_error() {
    for args in [&["completions", "bash"][..], &["man"], &["--help"], &["pub", "--help"]] {
        let done = stentor(args).run_with_closed_stdout().await;
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}
