//! Layers of every gRPC server of ours, outermost first: [`ObserveLayer`], [`CatchPanicLayer`], then the
//! [`AuthLayer`](crate::identity::AuthLayer).

mod observe;
mod panic;

pub use observe::{ObserveBody, ObserveLayer, ObserveService};
pub use panic::{CatchPanicBody, CatchPanicLayer, CatchPanicService};
