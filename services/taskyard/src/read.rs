//! Values as people type them on a command line. Each error says what would be right.

mod document;
mod duration;
mod label;
mod time;

pub use document::Document;
pub use duration::duration;
pub use label::{Label, label};
pub use time::{ago_or_time, time};
