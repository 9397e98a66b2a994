//! The suite (being written).
