//! Sign in, stay signed in, sign out; and who one is.

use http::StatusCode;
use serde_json::json;
use taskyard_core::ErrorCode;

use crate::{
    openapi::Operation,
    shape::{Me, SignIns, SignedIn, Tokens, User},
};

const TAG: &str = "Accounts";

pub(in crate::rest) fn register() -> Operation {
    Operation::new("register", TAG, "Become a user")
        .says("Signs in as well. The namespace is the user's own; without a name it gets that of the address.")
        .example(json!({ "email": "ada@example.com", "password": "correct horse battery", "name": "Ada" }))
        .answers::<SignedIn>(StatusCode::CREATED, "The user, signed in.")
        .needs_no_token()
        .fails(ErrorCode::NameTaken)
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn sign_in() -> Operation {
    Operation::new("signIn", TAG, "Sign in")
        .says("The access token is bound to the namespace, the user's own if none is named.")
        .example(json!({ "email": "ada@example.com", "password": "correct horse battery" }))
        .answers::<SignedIn>(StatusCode::OK, "The user and their tokens.")
        .needs_no_token()
        .fails(ErrorCode::Unauthenticated)
        .fails(ErrorCode::NamespaceNotFound)
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn refresh() -> Operation {
    Operation::new("refreshTokens", TAG, "Get the next tokens")
        .says("Each refresh token works once. For the same namespace, or another one.")
        .example(json!({ "refresh_token": "tyr_…", "namespace": "team" }))
        .answers::<Tokens>(StatusCode::OK, "The next pair.")
        .needs_no_token()
        .fails(ErrorCode::Unauthenticated)
        .fails(ErrorCode::NamespaceNotFound)
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn key_set() -> Operation {
    Operation::new("getKeySet", TAG, "Read the public keys of access tokens")
        .answers_text(StatusCode::OK, "application/jwk-set+json", "A JSON Web Key Set.")
        .needs_no_token()
}

pub(in crate::rest) fn sign_out() -> Operation {
    Operation::new("signOut", TAG, "End the sign-in whose token is shown")
        .answers_nothing(StatusCode::NO_CONTENT, "It has ended.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn list() -> Operation {
    Operation::new("listSignIns", TAG, "List one's sign-ins")
        .answers::<SignIns>(StatusCode::OK, "Those that have not ended, newest first.")
        .fails(ErrorCode::Forbidden)
}

pub(in crate::rest) fn end() -> Operation {
    Operation::new("endSignIn", TAG, "End a sign-in")
        .calls("SignOut")
        .answers_nothing(StatusCode::NO_CONTENT, "It has ended.")
}

pub(in crate::rest) fn end_all() -> Operation {
    Operation::new("endAllSignIns", TAG, "Sign out everywhere")
        .calls("SignOutEverywhere")
        .answers_nothing(StatusCode::NO_CONTENT, "All have ended, this one too.")
}

pub(in crate::rest) fn me() -> Operation {
    Operation::new("getMe", TAG, "Read who one is")
        .calls("WhoAmI")
        .says("For users and keys alike.")
        .answers::<Me>(StatusCode::OK, "The caller, and what they may do.")
}

pub(in crate::rest) fn update_me() -> Operation {
    Operation::new("updateMe", TAG, "Change one's name")
        .calls("UpdateUser")
        .example(json!({ "name": "Ada Lovelace" }))
        .answers::<User>(StatusCode::OK, "The user after the change.")
}

pub(in crate::rest) fn change_password() -> Operation {
    Operation::new("changePassword", TAG, "Change one's password")
        .says("All other sign-ins end.")
        .example(json!({ "old_password": "correct horse battery", "new_password": "another horse battery" }))
        .answers_nothing(StatusCode::NO_CONTENT, "It is changed.")
}
