//! Lines of stdin, as they arrive.

use std::io::{BufRead, Read};
use std::mem::take;

use anyhow::{Context, bail};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::mpsc;

use super::content_type::BOM;

/// Maximum number of bytes in a line: the limit of an event.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// Maximum number of lines that are read ahead.
const WAITING_LINES_MAX: usize = 16;

/// Returns the lines without their line ends. The last item can be an error.
pub(super) fn of_stdin() -> impl Stream<Item = anyhow::Result<String>> {
    let (lines, waiting) = mpsc::channel(WAITING_LINES_MAX);
    // A plain thread, because a runtime waits for a blocking read when it shuts down.
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut is_first = true;
        while let Some(line) =
            next(&mut stdin, &mut is_first).context("cannot publish stdin").transpose()
        {
            let is_last = line.is_err();
            if lines.blocking_send(line).is_err() || is_last {
                break;
            }
        }
    });
    unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) })
}

/// Reads the next line that is not blank. A byte order mark at the start of the input is removed.
fn next(input: &mut impl BufRead, is_first: &mut bool) -> anyhow::Result<Option<String>> {
    loop {
        let mut line = Vec::new();
        input.by_ref().take(LINE_BYTES_MAX + 2 + BOM.len() as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if take(is_first) && line.starts_with(BOM) {
            line.drain(..BOM.len());
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            bail!("a line is longer than {} MiB", LINE_BYTES_MAX >> 20);
        }
        if !line.trim_ascii().is_empty() {
            let line = String::from_utf8(line);
            return Ok(Some(
                line.ok()
                    .context("a line is not valid UTF-8; convert it, or publish it with --file")?,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> (Vec<String>, Option<String>) {
        let (mut lines, mut is_first) = (Vec::new(), true);
        loop {
            match next(&mut input, &mut is_first) {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(format!("{error:#}"))),
            }
        }
    }

    #[test]
    fn one_byte_order_mark_at_the_start_is_removed() {
        let (lines, error) = lines("\u{FEFF}a\n\u{FEFF}b\n".as_bytes());
        assert_eq!((lines, error), (vec!["a".to_owned(), "\u{FEFF}b".to_owned()], None));
        let (lines, _) = self::lines("\u{FEFF}\n\u{FEFF}a\n".as_bytes());
        assert_eq!(lines, ["\u{FEFF}a"]);
    }

    #[test]
    fn a_line_excludes_its_line_end() {
        let (lines, error) = lines(b"a\n b \r\n\n \t\nc\rd\n\re");
        assert_eq!(lines, ["a", " b ", "c\rd", "\re"]);
        assert_eq!(error, None);
    }

    #[test]
    fn an_invalid_line_is_an_error_after_the_lines_before_it() {
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
