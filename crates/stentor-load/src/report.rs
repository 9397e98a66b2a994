//! The result of a run: as data, as text, and as an HTML page.

mod bottleneck;
mod build;
mod chart;
mod data;
mod html;
mod table;

pub use self::data::Report;
pub use self::html::page;
pub use self::table::text;

pub(crate) use self::build::{Connected, Inputs, build};
pub(crate) use self::data::Setting;
