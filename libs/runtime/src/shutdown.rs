//! The order to stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Listens to SIGTERM and SIGINT: the first one cancels the token, a second one ends the process at once. For the
/// binary only; services are given the token.
///
/// # Errors
/// If the signals cannot be listened to.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        for first in [true, false] {
            let (name, number) = tokio::select! {
                _ = terminate.recv() => ("SIGTERM", 15),
                _ = interrupt.recv() => ("SIGINT", 2),
            };
            if first {
                tracing::info!(signal = name, "stopping; once more to stop at once");
                stop.cancel();
            } else {
                tracing::warn!(signal = name, "stopping at once");
                std::process::exit(128 + number);
            }
        }
    });
    Ok(token)
}
