//! Precedence of patterns.

use crate::filter::TopicFilter;

/// The precedence of a pattern: more literal segments first, then a pattern without `**`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence {
    literals: usize,
    /// `true` if the pattern has no `**`.
    is_bounded: bool,
}

impl Precedence {
    pub(super) fn of(pattern: &TopicFilter) -> Precedence {
        let segments = pattern.as_str().split('/');
        let literals = segments.filter(|segment| !matches!(*segment, "*" | "**")).count();
        Precedence { literals, is_bounded: !has_rest(pattern) }
    }
}

fn has_rest(pattern: &TopicFilter) -> bool {
    pattern.as_str().split('/').next_back() == Some("**")
}

/// Returns `true` if a name exists that both patterns match.
pub(super) fn overlap(a: &TopicFilter, b: &TopicFilter) -> bool {
    let begins_with_wildcard = |pattern: &TopicFilter| pattern.as_str().starts_with('*');
    let is_reserved = |pattern: &TopicFilter| pattern.as_str().starts_with('$');
    if is_reserved(a) && begins_with_wildcard(b) || begins_with_wildcard(a) && is_reserved(b) {
        return false;
    }
    let (mut a, mut b) = (a.as_str().split('/'), b.as_str().split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) | (Some("**"), Some(_)) | (Some(_), Some("**")) => return true,
            (Some("*"), Some(_)) | (Some(_), Some("*")) => {}
            (Some(a), Some(b)) if a == b => {}
            (None, Some(_)) | (Some(_), None | Some(_)) => return false,
        }
    }
}
