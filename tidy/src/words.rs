//! Words and openings that make a sentence hard to read, each with what to write instead.

/// Openings of a comment, or of a sentence at the start of a line, whose noun the reader must guess.
pub const OPENINGS: [&str; 6] = ["What", "Who", "Whom", "Whose", "Whether", "The same"];

/// Words and phrases, in lower case, that readers may not know or understand at once, each with a plain replacement.
pub const BANNED: [(&str, &str); 27] = [
    ("anew", "again"),
    ("be it", "name both cases"),
    ("for ever", "indefinitely, or name the condition"),
    ("forever", "indefinitely, or name the condition"),
    ("lest", "so that … not"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("mends", "fixes"),
    ("nobody", "no reader, no client, nothing"),
    ("nought", "nothing, zero"),
    ("of what", "name the thing"),
    ("seldom", "rarely"),
    ("shall", "must, will"),
    ("so many", "name the quantity: at most `limit` …"),
    ("somebody", "a client, a caller"),
    ("somebody's", "a client's, a caller's"),
    ("nobody's", "no client's"),
    ("therein", "in it"),
    ("thereof", "of it"),
    ("told", "sent, reported, notified"),
    ("unless told otherwise", "default: …"),
    ("whereof", "of which"),
    ("whoever", "a client that, a caller that"),
    ("whom", "name the subject"),
    ("whomever", "name the subject"),
    ("whosoever", "a client that"),
    ("be they", "name both cases"),
];

/// The banned words of a text, with what to write instead.
pub fn banned_in(text: &str) -> Vec<(&'static str, &'static str)> {
    let words = normalised(text);
    let found = BANNED.iter().filter(|(word, _)| words.contains(&format!(" {word} ")));
    found.copied().collect()
}

/// The banned opening of a sentence, if it has one.
pub fn opening_of(sentence: &str) -> Option<&'static str> {
    let text = sentence.trim_start_matches(['-', '*', ' ']);
    OPENINGS.into_iter().find(|opening| {
        let rest = text.strip_prefix(opening);
        rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    })
}

/// Lower case, with one space between words and around them, and code in backticks left out.
fn normalised(text: &str) -> String {
    let outside_code = text.split('`').step_by(2).collect::<Vec<_>>().join(" x ");
    let mut words = String::from(" ");
    for next in outside_code.to_lowercase().chars() {
        if next.is_alphanumeric() || next == '\'' || next == '_' {
            words.push(next);
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    words.push(' ');
    words
}

#[cfg(test)]
mod tests {
    use super::{banned_in, opening_of};

    #[test]
    fn a_banned_word_is_found_as_a_word_and_outside_code_only() {
        assert_eq!(banned_in("Readers are told, for ever.").len(), 2);
        assert!(banned_in("a `told` offset, foretold").is_empty());
    }

    #[test]
    fn an_opening_is_found_as_a_whole_word() {
        assert_eq!(opening_of("What a reader gets."), Some("What"));
        assert_eq!(opening_of("- The same, later."), Some("The same"));
        assert_eq!(opening_of("Whatever it takes"), None);
    }
}
