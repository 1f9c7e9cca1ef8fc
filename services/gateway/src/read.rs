//! What a request says, read with care: everything that is wrong is refused with its name.

mod bounded;
mod call;
mod etag;
mod idempotency_key;
mod json;
mod object;
mod path;
mod query;
mod user_agent;

pub(crate) use bounded::{List, Map};
pub(crate) use call::{Call, REQUEST_TIMEOUT};
pub(crate) use etag::{IfMatch, IfNoneMatch, etag};
pub(crate) use idempotency_key::IdempotencyKey;
pub(crate) use json::{JsonBody, OptionalJsonBody, from_json};
pub(crate) use object::Object;
pub(crate) use path::{
    InvitationOf, KeyId, MemberOf, NamespaceName, QueueName, ScheduleName, SignInId, TaskId, UserId,
};
pub(crate) use query::Params;
pub(crate) use user_agent::UserAgent;
