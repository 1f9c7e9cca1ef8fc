//! What a request says, read with care: everything that is wrong is refused with its name.

mod bounded;
mod call;
mod etag;
mod json;
mod object;
mod path;
mod query;

pub(crate) use bounded::{List, Map};
pub(crate) use call::Call;
pub(crate) use etag::{etag, if_match};
pub(crate) use json::{JsonBody, OptionalJsonBody, from_json};
pub(crate) use object::Object;
pub(crate) use path::{InvitationOf, KeyId, MemberOf, NamespaceName, QueueName, ScheduleName, SignInId, TaskId};
pub(crate) use query::Params;
