//! REST: each handler reads a request, makes one call to the tasks service and shows its answer.

mod administration;
mod ask;
mod auth;
mod batch;
mod create;
mod events;
mod keys;
mod namespaces;
mod operations;
mod patch;
mod queues;
mod schedules;
mod search;
mod sweeps;
mod tasks;

use crate::openapi::{Routes, delete, get, patch, post, put};

/// What everybody may ask.
pub(crate) fn open_routes() -> Routes {
    use operations::auth as about;
    Routes::new()
        .at("/v1/auth/register", [post(auth::register, about::register())])
        .at("/v1/auth/sign-in", [post(auth::sign_in, about::sign_in())])
        .at("/v1/auth/refresh", [post(auth::refresh, about::refresh())])
        .at("/.well-known/jwks.json", [get(auth::key_set, about::key_set())])
}

/// What is only for those who are known.
pub(crate) fn routes() -> Routes {
    with_administration(with_accounts(with_schedules(of_tasks())))
}

fn of_tasks() -> Routes {
    Routes::new()
        .at(
            "/v1/tasks",
            [get(tasks::list, operations::tasks::list()), post(create::create, operations::tasks::create())],
        )
        .at("/v1/tasks/batch", [post(batch::create_batch, operations::many::create())])
        .at("/v1/tasks/cancel", [post(sweeps::cancel, operations::many::cancel())])
        .at("/v1/tasks/complete", [post(sweeps::complete, operations::many::complete())])
        .at("/v1/tasks/retry", [post(sweeps::retry, operations::many::retry())])
        .at("/v1/tasks/search", [get(search::search, operations::search::search())])
        .at(
            "/v1/tasks/{id}",
            [
                get(tasks::get, operations::tasks::get()),
                patch(patch::update, operations::tasks::update()),
                delete(tasks::delete, operations::tasks::delete()),
            ],
        )
        .at("/v1/tasks/{id}/complete", [post(tasks::complete, operations::tasks::complete())])
        .at("/v1/tasks/{id}/cancel", [post(tasks::cancel, operations::tasks::cancel())])
        .at("/v1/tasks/{id}/retry", [post(tasks::retry, operations::tasks::retry())])
        .at("/v1/tasks/{id}/events", [get(events::of_task, operations::events::of_task())])
        .at("/v1/events", [get(events::all, operations::events::all())])
        .at("/v1/queues", [get(queues::list, operations::queues::list())])
        .at("/v1/queues/{name}", [get(queues::get, operations::queues::get())])
        .at("/v1/queues/{name}/pause", [post(queues::pause, operations::queues::pause())])
        .at("/v1/queues/{name}/resume", [post(queues::resume, operations::queues::resume())])
        .at("/v1/queues/{name}/limits", [put(queues::set_limits, operations::queues::set_limits())])
}

fn with_schedules(routes: Routes) -> Routes {
    use operations::schedules as about;
    routes
        .at("/v1/schedules", [get(schedules::list, about::list()), post(schedules::create, about::create())])
        .at(
            "/v1/schedules/{name}",
            [
                get(schedules::get, about::get()),
                put(schedules::update, about::update()),
                delete(schedules::delete, about::delete()),
            ],
        )
        .at("/v1/schedules/{name}/pause", [post(schedules::pause, about::pause())])
        .at("/v1/schedules/{name}/resume", [post(schedules::resume, about::resume())])
        .at("/v1/schedules/{name}/run", [post(schedules::run, about::run())])
        .at("/v1/schedules/{name}/next", [get(schedules::next, about::next())])
        .at("/v1/schedule-preview", [post(schedules::preview, about::preview())])
}

fn with_accounts(routes: Routes) -> Routes {
    use operations::{auth as sign_in, keys as key, namespaces as about};
    routes
        .at("/v1/auth/sign-out", [post(auth::sign_out, sign_in::sign_out())])
        .at(
            "/v1/auth/sign-ins",
            [get(auth::sign_ins, sign_in::list()), delete(auth::end_all_sign_ins, sign_in::end_all())],
        )
        .at("/v1/auth/sign-ins/{id}", [delete(auth::end_sign_in, sign_in::end())])
        .at("/v1/me", [get(auth::me, sign_in::me()), patch(auth::update_me, sign_in::update_me())])
        .at("/v1/me/password", [put(auth::change_password, sign_in::change_password())])
        .at("/v1/namespaces", [get(namespaces::list, about::list()), post(namespaces::create, about::create())])
        .at("/v1/namespaces/{name}", [get(namespaces::get, about::get()), delete(namespaces::delete, about::delete())])
        .at("/v1/namespaces/{name}/transfer", [post(namespaces::transfer, about::transfer())])
        .at("/v1/namespaces/{name}/members", [get(namespaces::members, about::members())])
        .at(
            "/v1/namespaces/{name}/members/{user_id}",
            [put(namespaces::set_role, about::set_role()), delete(namespaces::remove_member, about::remove_member())],
        )
        .at(
            "/v1/namespaces/{name}/invitations",
            [get(namespaces::invitations, about::invitations()), post(namespaces::invite, about::invite())],
        )
        .at(
            "/v1/namespaces/{name}/invitations/{id}",
            [delete(namespaces::delete_invitation, about::delete_invitation())],
        )
        .at("/v1/invitations/accept", [post(namespaces::accept, about::accept())])
        .at("/v1/keys", [get(keys::list, key::list()), post(keys::create, key::create())])
        .at("/v1/keys/{id}", [delete(keys::revoke, key::revoke())])
}

fn with_administration(routes: Routes) -> Routes {
    use operations::administration as about;
    routes
        .at("/v1/admin/namespaces", [get(administration::namespaces, about::namespaces())])
        .at("/v1/admin/namespaces/{name}/quota", [put(administration::set_quota, about::set_quota())])
        .at("/v1/admin/users", [get(administration::users, about::users())])
        .at("/v1/admin/users/{user_id}/disable", [post(administration::disable, about::disable())])
        .at("/v1/admin/users/{user_id}/enable", [post(administration::enable, about::enable())])
        .at("/v1/admin/users/{user_id}/make-admin", [post(administration::make_admin, about::make_admin())])
        .at("/v1/admin/users/{user_id}/unmake-admin", [post(administration::unmake_admin, about::unmake_admin())])
        .at("/v1/admin/audit", [get(administration::audit, about::audit())])
}
