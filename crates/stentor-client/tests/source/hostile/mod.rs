//! Servers that mean harm, or are broken as if they did: each ends as documented, with nothing of the
//! caller given away, memory bounded and no running in circles.

mod bodies;
mod heads;
mod redirects;
mod storms;
