//! What a user of the tools can see.
