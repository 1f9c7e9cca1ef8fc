//! Connections whose calls show a key.

use anyhow::Result;
use taskyard_proto::v1::task_service_client::TaskServiceClient;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

/// A client that shows a key.
pub type Tasks = TaskServiceClient<InterceptedService<Channel, Shown>>;

/// Shows a key on every call.
#[derive(Clone)]
pub struct Shown(MetadataValue<Ascii>);

impl Interceptor for Shown {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to a pod.
pub async fn connect(url: &str) -> Result<Channel> {
    Ok(Channel::from_shared(url.to_owned())?.tcp_nodelay(true).connect().await?)
}

/// A client over it.
pub fn tasks(channel: Channel, key: &str) -> Result<Tasks> {
    Ok(TaskServiceClient::with_interceptor(channel, Shown(MetadataValue::try_from(format!("Bearer {key}"))?)))
}
