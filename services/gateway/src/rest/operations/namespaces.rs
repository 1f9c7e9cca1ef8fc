//! Namespaces, members, invitations.

use http::StatusCode;
use serde_json::json;
use taskyard_core::{ErrorCode, limits::PAGE_SIZE_MAX};

use super::page_token;
use crate::{
    openapi::Operation,
    shape::{InvitationSecret, Invitations, Member, Members, Namespace, Namespaces, described},
};

const TAG: &str = "Namespaces";
/// Entries on a page if nothing is said.
const PAGE_SIZE: u32 = 100;

pub(in crate::rest) fn list() -> Operation {
    Operation::new("listNamespaces", TAG, "List one's namespaces")
        .says("By name.")
        .query("page_size", described::page_size(PAGE_SIZE, PAGE_SIZE_MAX), "Namespaces on the page, at most.")
        .queries([page_token()])
        .answers::<Namespaces>(StatusCode::OK, "One page.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn create() -> Operation {
    Operation::new("createNamespace", TAG, "Make a shared namespace")
        .says("The caller owns it.")
        .example(json!({ "name": "team" }))
        .answers::<Namespace>(StatusCode::CREATED, "The new namespace.")
        .fails(ErrorCode::NameTaken)
}

pub(in crate::rest) fn get() -> Operation {
    Operation::new("getNamespace", TAG, "Read a namespace")
        .says("While it is deleted, with how many tasks are left.")
        .answers::<Namespace>(StatusCode::OK, "The namespace.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn delete() -> Operation {
    Operation::new("deleteNamespace", TAG, "Delete a namespace with everything in it")
        .says("For the owner. Nobody gets in from then on; the rest goes in the background.")
        .answers::<Namespace>(StatusCode::ACCEPTED, "It goes now.")
}

pub(in crate::rest) fn transfer() -> Operation {
    Operation::new("transferNamespace", TAG, "Make another member the owner")
        .says("For the owner, who stays an admin.")
        .example(json!({ "user_id": "0190b5a0-0000-7000-8000-000000000000" }))
        .answers::<Namespace>(StatusCode::OK, "The namespace after the change.")
        .fails(ErrorCode::UserNotFound)
}

pub(in crate::rest) fn members() -> Operation {
    Operation::new("listMembers", TAG, "List the members of a namespace")
        .says("By e-mail address.")
        .query("page_size", described::page_size(PAGE_SIZE, PAGE_SIZE_MAX), "Members on the page, at most.")
        .queries([page_token()])
        .answers::<Members>(StatusCode::OK, "One page.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn set_role() -> Operation {
    Operation::new("setMemberRole", TAG, "Give a member another role")
        .says("For admins. The owner stays an admin.")
        .example(json!({ "role": "editor" }))
        .answers::<Member>(StatusCode::OK, "The member after the change.")
}

pub(in crate::rest) fn remove_member() -> Operation {
    Operation::new("removeMember", TAG, "Take a member out, or leave")
        .says("For admins, and for everybody themselves. The owner stays.")
        .answers_nothing(StatusCode::NO_CONTENT, "They are out.")
}

pub(in crate::rest) fn invitations() -> Operation {
    Operation::new("listInvitations", TAG, "List the invitations that are open")
        .says("For admins.")
        .answers::<Invitations>(StatusCode::OK, "All of them, by e-mail address.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn invite() -> Operation {
    Operation::new("createInvitation", TAG, "Invite somebody")
        .says("For admins. The secret, with which they accept, is shown here and never again.")
        .example(json!({ "email": "eve@example.com", "role": "editor" }))
        .answers::<InvitationSecret>(StatusCode::CREATED, "The invitation with its secret.")
}

pub(in crate::rest) fn delete_invitation() -> Operation {
    Operation::new("deleteInvitation", TAG, "Take an invitation back")
        .says("For admins.")
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
}

pub(in crate::rest) fn accept() -> Operation {
    Operation::new("acceptInvitation", TAG, "Accept an invitation")
        .example(json!({ "secret": "tyi_…" }))
        .answers::<Namespace>(StatusCode::OK, "The namespace that the caller is a member of now.")
        .fails(ErrorCode::UserNotFound)
}
