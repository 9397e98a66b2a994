//! Lines of stdin, as they are typed.

use std::io::{BufRead, Read};

use anyhow::{Context, bail};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::mpsc;

/// The bound of a line, which is that of an event.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// How many lines are read ahead.
const WAITING_LINES_MAX: usize = 16;

/// Each line by itself, without its end. The last item may be an error.
pub(super) fn of_stdin() -> impl Stream<Item = anyhow::Result<String>> {
    let (lines, waiting) = mpsc::channel(WAITING_LINES_MAX);
    // Nobody waits for this thread in the end, as a runtime would for one of its own.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        while let Some(line) = next(&mut stdin).context("stdin cannot be published").transpose() {
            let is_last = line.is_err();
            if lines.blocking_send(line).is_err() || is_last {
                break;
            }
        }
    });
    unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) })
}

/// The next line that is not blank.
fn next(input: &mut impl BufRead) -> anyhow::Result<Option<String>> {
    loop {
        let mut line = Vec::new();
        input.by_ref().take(LINE_BYTES_MAX + 2).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            bail!("a line is over {} MiB", LINE_BYTES_MAX >> 20);
        }
        if !line.trim_ascii().is_empty() {
            let line = String::from_utf8(line);
            return Ok(Some(line.context("a line is not UTF-8, as text must be")?));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> (Vec<String>, Option<String>) {
        let mut lines = Vec::new();
        loop {
            match next(&mut input) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(format!("{error:#}"))),
            }
        }
    }

    #[test]
    fn a_line_is_what_is_before_its_end() {
        let (lines, error) = lines(b"a\n b \r\n\n \t\nc\rd\n\re");
        assert_eq!(lines, ["a", " b ", "c\rd", "\re"]);
        assert_eq!(error, None);
    }

    #[test]
    fn what_can_be_no_event_is_an_error_behind_the_lines_before_it() {
        let (before, error) = lines(b"a\ngr\xfcn\nb\n");
        assert_eq!(before, ["a"]);
        assert!(error.unwrap().contains("UTF-8"));
        let limit = usize::try_from(LINE_BYTES_MAX).unwrap();
        let (longest, error) = lines(&[&b"x".repeat(limit)[..], b"\r\n"].concat());
        assert_eq!((longest[0].len(), error), (limit, None));
        let (_, error) = lines(&b"x".repeat(limit + 1));
        assert!(error.unwrap().contains("8 MiB"));
    }
}
