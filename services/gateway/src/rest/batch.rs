//! Many new tasks, each with an answer of its own.

use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskyard_core::{Error, Result, id::new_task_id, limits::BATCH_TASKS_MAX};
use taskyard_proto::{convert::item_error, v1};
use taskyard_runtime::http_error::Problem;

use super::ask::present;
use crate::{
    app::App,
    read::{Call, JsonBody, List, Params, from_json},
    shape::{NewTask, item_in_rest},
};

/// New tasks. Each is read by itself, so that a bad one does not hinder the others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewTasks")]
pub(super) struct Batch {
    #[schemars(with = "List<NewTask, BATCH_TASKS_MAX>")]
    tasks: List<Box<RawValue>, BATCH_TASKS_MAX>,
}

/// One answer for each task, in order.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "CreateResults")]
pub(super) struct Answers {
    results: Vec<Answer>,
}

/// What became of one task.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "CreateResult")]
enum Answer {
    Created {
        #[schemars(extend("format" = "uuid"))]
        id: String,
        /// False if the id or the idempotency key was known, with the same content.
        created: bool,
    },
    Refused {
        error: Refusal,
    },
}

/// Why a task was refused.
#[derive(Debug, Serialize, JsonSchema)]
struct Refusal {
    /// As in a problem document.
    code: String,
    message: String,
    /// The field that is wrong, if one is.
    field: Option<String>,
    /// Sending the same task again may succeed.
    retryable: bool,
}

impl From<v1::ItemError> for Answer {
    fn from(error: v1::ItemError) -> Self {
        let v1::ItemError { code, message, field, retryable } = item_in_rest(error);
        Self::Refused {
            error: Refusal { code, message, field: Some(field).filter(|field| !field.is_empty()), retryable },
        }
    }
}

/// `POST /v1/tasks/batch`
pub(super) async fn create_batch(
    State(app): State<App>,
    call: Call,
    params: Params,
    body: JsonBody<Batch>,
) -> Result<Json<Answers>, Problem> {
    params.finish()?;
    let List(items) = &body.value.tasks;
    // What cannot be read is answered here; the rest is sent, in order.
    let mut tasks = Vec::with_capacity(items.len());
    let mut chosen = Vec::with_capacity(items.len());
    let mut refused = Vec::with_capacity(items.len());
    for item in items {
        match from_json::<NewTask>(item.get().as_bytes()) {
            Ok(task) => {
                let mut task = v1::NewTask::from(task);
                // As in a single create: with an id, the call can be repeated.
                chosen.push(task.id.is_empty().then(|| new_task_id().to_string()));
                if let Some(Some(id)) = chosen.last() {
                    task.id.clone_from(id);
                }
                tasks.push(task);
                refused.push(None);
            }
            Err(error) => refused.push(Some(item_error(&error))),
        }
    }
    let sent = tasks.len();
    let mut results = Vec::new();
    if sent > 0 {
        let request = v1::CreateTasksRequest { tasks };
        let answer = app.ask(&call, request, |pod, message| async { pod.tasks().create_tasks(message).await }).await?;
        results = answer.results;
    }
    if results.len() != sent {
        let message = format!("{} answers came to {sent} tasks", results.len());
        return Err(Error::internal(message).into());
    }
    let mut results = results.into_iter().zip(chosen);
    let answers = refused.into_iter().map(|refused| match refused {
        Some(error) => Ok(error.into()),
        None => {
            let (result, chosen) = present(results.next())?;
            answer(present(result.result)?, chosen.as_deref())
        }
    });
    Ok(Json(Answers { results: answers.collect::<Result<_>>()? }))
}

fn answer(result: v1::create_tasks_result::Result, chosen: Option<&str>) -> Result<Answer> {
    Ok(match result {
        v1::create_tasks_result::Result::Created(task) => {
            let created = task.created || chosen == Some(&task.id);
            Answer::Created { id: task.id, created }
        }
        v1::create_tasks_result::Result::Error(error) => error.into(),
    })
}
