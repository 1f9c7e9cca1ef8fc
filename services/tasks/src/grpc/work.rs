//! WorkService.

use taskyard_proto::status::to_status;
use taskyard_proto::v1::{WorkRequest, work_service_server::WorkService};
use taskyard_runtime::identity::caller;
use tonic::{Request, Response, Status, Streaming};

use super::Api;
use crate::sessions::{
    outbox::{OutboxStream, outbox},
    stream,
};

#[tonic::async_trait]
impl WorkService for Api {
    type WorkStream = OutboxStream;

    async fn work(&self, request: Request<Streaming<WorkRequest>>) -> Result<Response<OutboxStream>, Status> {
        let caller = caller(&request).map_err(to_status)?;
        let (outbox, stream) = outbox();
        // The answer's headers go out at once: a client may wait for them before it says hello.
        tokio::spawn(stream::serve(self.app.clone(), caller, request.into_inner(), outbox, self.stop.clone()));
        Ok(Response::new(stream))
    }
}
