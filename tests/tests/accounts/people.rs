//! What an answer was refused with.

use taskyard_core::ErrorCode;
use taskyard_tests::Answer;

/// The code of a refusal.
pub fn code<T: std::fmt::Debug>(answer: Answer<T>) -> ErrorCode {
    answer.expect_err("it is refused").code
}
