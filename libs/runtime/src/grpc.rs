//! Layers of every gRPC server of ours, outermost first: [`ObserveLayer`], [`CatchPanicLayer`], then the
//! [`GuardLayer`](crate::token::GuardLayer).

mod observe;
mod panic;

pub use observe::{ObserveBody, ObserveLayer, ObserveService};
pub use panic::{CatchPanicBody, CatchPanicLayer, CatchPanicService};
