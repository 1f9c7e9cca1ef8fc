//! An answer that stays open only as long as its caller may hear it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use taskyard_core::{Error, ErrorCode, Identity};
use taskyard_proto::status::to_status;
use tonic::{Status, body::Body};

use super::Identities;

/// A stream's body, which ends with UNAUTHENTICATED as soon as its caller is lost.
pub(super) struct Standing {
    body: Body,
    // None once it has ended.
    lost: Option<BoxFuture<'static, ()>>,
}

impl Standing {
    pub(super) fn new(body: Body, identities: Identities, token: String, identity: Arc<Identity>) -> Self {
        let lost = async move { identities.lost(&token, identity).await };
        Self { body, lost: Some(Box::pin(lost)) }
    }
}

impl http_body::Body for Standing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(lost) = &mut self.lost else { return Poll::Ready(None) };
        if lost.as_mut().poll(context).is_ready() {
            self.lost = None;
            // Whatever makes the answer learns of its end.
            self.body = Body::empty();
            let error = Error::new(ErrorCode::Unauthenticated, "the token or key is not valid any more");
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(match to_status(error).add_header(&mut trailers) {
                Ok(()) => Ok(Frame::trailers(trailers)),
                Err(status) => Err(status),
            }));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.lost.is_none() || self.body.is_end_stream()
    }
}
