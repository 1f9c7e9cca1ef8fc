//! What handlers read, as the description of their operation.

use axum::extract::State;

use super::Operation;

/// An extractor that says what it reads, and with what it can refuse.
pub(crate) trait Input {
    fn describe(operation: &mut Operation);
}

impl<S> Input for State<S> {
    fn describe(_: &mut Operation) {}
}

/// All extractors of a handler: the type parameter by which axum tells handlers apart.
pub(crate) trait Inputs {
    fn describe(operation: &mut Operation);
}

macro_rules! inputs {
    ($($input:ident)*) => {
        impl<Via, $($input: Input),*> Inputs for (Via, $($input,)*) {
            fn describe(operation: &mut Operation) {
                $($input::describe(operation);)*
            }
        }
    };
}

inputs!(A);
inputs!(A B);
inputs!(A B C);
inputs!(A B C D);
inputs!(A B C D E);
inputs!(A B C D E F);
inputs!(A B C D E F G);
inputs!(A B C D E F G H);
