//! REST: each handler reads a request, makes one call to the tasks service and shows its answer.

mod ask;
mod batch;
mod create;
mod events;
mod operations;
mod patch;
mod queues;
mod sweeps;
mod tasks;

use crate::openapi::{Routes, delete, get, patch, post, put};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .at(
            "/v1/tasks",
            [get(tasks::list, operations::tasks::list()), post(create::create, operations::tasks::create())],
        )
        .at("/v1/tasks/batch", [post(batch::create_batch, operations::many::create())])
        .at("/v1/tasks/cancel", [post(sweeps::cancel, operations::many::cancel())])
        .at("/v1/tasks/complete", [post(sweeps::complete, operations::many::complete())])
        .at("/v1/tasks/retry", [post(sweeps::retry, operations::many::retry())])
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
