//! What a user of the log can see, and what must not be seen.
