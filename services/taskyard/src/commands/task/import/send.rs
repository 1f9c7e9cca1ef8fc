//! A batch on its way to the server.

use std::time::Duration;

use taskyard_client::{Client, ErrorCode, Result, v1};
use v1::create_tasks_result::Result as Created;

use super::line::Bad;

/// How often a server that is full is asked again. One that cannot be reached is asked by the client itself.
const TRIES: u32 = 6;
const DELAY_FIRST: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(15);

/// The API names fields as the proto does; a line's writer knows them by these names.
const NAMES: [(&str, &str); 5] = [
    ("due_time", "due_at"),
    ("delay", "delay_ms"),
    ("timeout", "timeout_ms"),
    ("retry.backoff", "retry.backoff_ms"),
    ("retry.backoff_max", "retry.backoff_max_ms"),
];

/// What became of a batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Tasks that are new.
    pub created: u64,
    /// Tasks that were there.
    pub existing: u64,
    /// Lines that the server refused, with their numbers.
    pub refused: Vec<(u64, Bad)>,
}

/// Creates tasks; what the server has no room for now is sent again a few times.
///
/// # Errors
/// What concerns the whole batch, and with it every other one.
pub async fn send(client: &Client, mut tasks: Vec<(u64, v1::NewTask)>) -> Result<Answer> {
    let mut answer = Answer::default();
    let mut tries_left = TRIES;
    let mut delay = DELAY_FIRST;
    while !tasks.is_empty() {
        tries_left -= 1;
        let sent: Vec<_> = tasks.iter().map(|(_, task)| task.clone()).collect();
        match client.create_tasks(sent).await {
            Ok(results) => tasks = answer.take(tasks, results, tries_left > 0),
            Err(error) if error.code == ErrorCode::Exhausted && tries_left > 0 => {
                delay = delay.max(error.retry_after.unwrap_or_default());
            }
            Err(error) => return Err(error),
        }
        if !tasks.is_empty() {
            tokio::time::sleep(delay.min(DELAY_MAX)).await;
            delay = delay.saturating_mul(2);
        }
    }
    Ok(answer)
}

impl Answer {
    /// Takes the results in; what can be sent again is given back.
    fn take(
        &mut self,
        tasks: Vec<(u64, v1::NewTask)>,
        results: Vec<v1::CreateTasksResult>,
        again: bool,
    ) -> Vec<(u64, v1::NewTask)> {
        let mut left = Vec::new();
        for ((number, task), result) in tasks.into_iter().zip(results) {
            match result.result {
                Some(Created::Created(created)) if created.created => self.created += 1,
                Some(Created::Created(_)) => self.existing += 1,
                Some(Created::Error(error)) if error.retryable && again => left.push((number, task)),
                Some(Created::Error(error)) => self.refused.push((number, bad(error))),
                None => {
                    let message = "the server's answer cannot be understood".to_owned();
                    self.refused.push((number, Bad { code: ErrorCode::Internal.as_str().to_owned(), message }));
                }
            }
        }
        left
    }
}

fn bad(error: v1::ItemError) -> Bad {
    let known = NAMES.iter().find(|(proto, _)| *proto == error.field);
    let message = match known.zip(error.message.strip_prefix(&error.field)) {
        Some(((_, name), rest)) => format!("{name}{rest}"),
        None => error.message,
    };
    Bad { code: error.code, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_answer() {
        let refused = |field: &str, message: &str, retryable| {
            Some(Created::Error(v1::ItemError {
                code: "C".into(),
                message: message.into(),
                field: field.into(),
                retryable,
            }))
        };
        let created = |created| Some(Created::Created(v1::CreatedTask { id: "i".into(), created }));
        let results = vec![
            created(true),
            created(false),
            refused("delay", "delay: is wrong", false),
            refused("title", "title: is wrong", false),
            refused("", "full", true),
            None,
        ];
        let results: Vec<_> = results.into_iter().map(|result| v1::CreateTasksResult { result }).collect();
        let tasks: Vec<_> = (1..=6).map(|number| (number, v1::NewTask::default())).collect();
        let mut answer = Answer::default();
        let left = answer.take(tasks.clone(), results.clone(), true);
        assert_eq!(left.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [5]);
        assert_eq!((answer.created, answer.existing), (1, 1));
        let messages: Vec<_> = answer.refused.iter().map(|(number, bad)| (*number, bad.message.as_str())).collect();
        let unclear = "the server's answer cannot be understood";
        assert_eq!(messages, [(3, "delay_ms: is wrong"), (4, "title: is wrong"), (6, unclear)]);
        assert!(Answer::default().take(tasks, results, false).is_empty(), "after the last try all is told");
    }
}
