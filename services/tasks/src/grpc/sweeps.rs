//! Commands for all tasks that match, as streams of how far they have come.

use taskyard_core::task::Namespace;
use taskyard_proto::status::to_status;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Response;

use super::{Api, tasks::ResponseStream};
use crate::app::sweeps::Sweep;

impl Api {
    /// Does it chunk by chunk, as fast as the caller reads.
    pub(super) fn sweep<T: Send + 'static>(
        &self,
        namespace: Namespace,
        mut sweep: Sweep,
        tell: impl Fn(u64, bool) -> T + Send + 'static,
    ) -> Response<ResponseStream<T>> {
        let (sender, receiver) = mpsc::channel(4);
        let api = self.clone();
        tokio::spawn(async move {
            let mut changed = 0;
            loop {
                let chunk = api.app.sweep(namespace, &mut sweep).await;
                let is_last = chunk.as_ref().map_or(true, |(_, done)| *done);
                let message = chunk.map_err(to_status).map(|(some, done)| {
                    changed += some;
                    tell(changed, done)
                });
                // The caller has gone: what was changed stays so.
                if sender.send(message).await.is_err() || is_last || api.stop.is_cancelled() {
                    return;
                }
            }
        });
        Response::new(Box::pin(ReceiverStream::new(receiver)))
    }
}
