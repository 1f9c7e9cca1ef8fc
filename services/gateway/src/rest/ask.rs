//! A call to the tasks service on behalf of a request.

use taskyard_client::PodChannel;
use taskyard_core::{Error, Result};
use tonic::{Response, Status};

use crate::{app::App, read::Call, shape::named_in_rest};

impl App {
    /// Sends `message`, elsewhere again while no pod can answer, until the request's deadline. Errors name fields as
    /// REST does.
    pub(super) async fn ask<M, T, F>(
        &self,
        call: &Call,
        message: M,
        send: impl Fn(PodChannel, tonic::Request<M>) -> F,
    ) -> Result<T>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let attempt = |pod| send(pod, call.message(message.clone()));
        self.pods().call(call.deadline, attempt).await.map_err(named_in_rest)
    }
}

/// What an answer must hold; without it the tasks service is broken.
pub(super) fn present<T>(part: Option<T>) -> Result<T> {
    part.ok_or_else(|| Error::internal("the tasks service left a part of its answer out"))
}
