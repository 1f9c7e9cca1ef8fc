//! Hello: a worker opens its session, or resumes it from another stream.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use taskyard_core::{
    Error, ErrorCode, Identity, Result,
    identity::{Caller, EVERY_NAMESPACE, Service},
    limits,
    task::BUILT_IN_KINDS,
};
use taskyard_postgres::failure;
use taskyard_proto::v1::{Hello, Stop, StopReason, Stops, Welcome, work_response::Message};
use uuid::Uuid;

use super::{
    Held, RunId, Session,
    outbox::Outbox,
    session::{Opening, Stage},
};
use crate::{
    app::App,
    fault::{self, FaultPoint},
    store::{
        returns::{self, Reason, Return},
        sessions::{self, NewSession},
    },
};

/// A hello, checked.
#[derive(Debug)]
struct Checked {
    session: Uuid,
    slots: u32,
    bytes_max: u64,
    held: HashSet<RunId>,
}

/// Opens the session in two statements: the first takes it over, the second looks at its runs and does nothing if yet
/// another stream has taken it over meanwhile.
pub async fn open(app: &Arc<App>, caller: &Identity, mut hello: Hello, outbox: Outbox) -> Result<Arc<Session>> {
    let checked = check(&hello)?;
    keep_within(caller, &mut hello)?;
    let namespace = caller.namespace;
    let new = NewSession {
        id: checked.session,
        namespace,
        caller: caller.caller.clone(),
        pod: app.pod.clone(),
        name: limits::clean_message(&hello.name, 200),
        queues: hello.queues.clone(),
        kinds: hello.kinds.clone(),
        slots: i32::try_from(checked.slots).unwrap_or(i32::MAX),
    };
    let connection = sessions::session_open(&app.pool, &new, app.settings.session_timeout())
        .await
        .map_err(failure::to_error)?
        .ok_or_else(|| Error::new(ErrorCode::Forbidden, "the session belongs to another namespace"))?;
    fault::reach(FaultPoint::HelloOpened);

    // Nothing more can be started for an older connection: what runs now is all that there is.
    let running = sessions::session_run_list(&app.pool, &[checked.session]).await.map_err(failure::to_error)?;
    let mut held: HashMap<RunId, Held> = HashMap::new();
    let mut not_held = Vec::new();
    for run in running {
        let id = (run.id, run.run);
        if checked.held.contains(&id) {
            let run = Held {
                namespace: run.namespace,
                queue: run.queue,
                payload_bytes: u64::try_from(run.payload_bytes).unwrap_or(0),
                attempt: run.attempt.cast_unsigned(),
                retry: run.retry,
                stage: Stage::Running,
            };
            held.insert(id, run);
        } else {
            not_held.push(Return {
                namespace: run.namespace,
                id: run.id,
                run: run.run,
                session: checked.session,
                connection,
            });
        }
    }
    if !not_held.is_empty() {
        let returned =
            returns::task_return_batch(&app.pool, None, Reason::NotHeld, &not_held).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::ReturnCommitted);
        app.tell_returned(returned).await;
    }
    fault::reach(FaultPoint::HelloCommitted);

    let stops: Vec<Stop> = checked
        .held
        .iter()
        .filter(|run| !held.contains_key(run))
        .map(|(id, run)| Stop {
            task_id: id.to_string(),
            run: run.cast_unsigned(),
            reason: StopReason::NotYours.into(),
        })
        .collect();
    let over: Vec<RunId> = checked.held.iter().filter(|run| !held.contains_key(run)).copied().collect();
    let mut namespaces = HashMap::new();
    if namespace == EVERY_NAMESPACE && !over.is_empty() {
        let found = sessions::session_ended_run_list(&app.pool, checked.session, &over).await;
        let found = found.map_err(failure::to_error)?.into_iter();
        namespaces.extend(found.map(|(namespace, id, run)| ((id, run), namespace)));
    }
    for run in over {
        // Its slot is free when the worker says so.
        held.entry(run).or_insert_with(|| Held {
            namespace: namespaces.get(&run).copied().unwrap_or(namespace),
            queue: String::new(),
            payload_bytes: 0,
            attempt: 0,
            retry: Default::default(),
            stage: Stage::Stopping,
        });
    }
    let opening = Opening {
        id: checked.session,
        connection,
        namespace,
        queues: hello.queues,
        kinds: hello.kinds,
        slots: checked.slots,
        bytes_max: checked.bytes_max,
        held,
    };
    let session = Arc::new(Session::new(opening, outbox));
    let timings = app.timings();
    session.outbox.control(Message::Welcome(Welcome {
        connection: connection.cast_unsigned(),
        session_timeout: Some(taskyard_proto::convert::duration_to_proto(timings.session_timeout)),
        ping_interval: Some(taskyard_proto::convert::duration_to_proto(timings.ping_interval)),
        silence_timeout: Some(taskyard_proto::convert::duration_to_proto(timings.silence_timeout)),
    }));
    if !stops.is_empty() {
        session.outbox.control(Message::Stops(Stops { stops }));
    }
    fault::reach(FaultPoint::WelcomePushed);
    app.sessions.insert(session.clone());
    app.demand.changed(&session);
    Ok(session)
}

/// A worker gets work only of the queues and kinds that its key is for.
fn keep_within(caller: &Identity, hello: &mut Hello) -> Result<()> {
    if hello.queues.is_empty() {
        hello.queues.clone_from(&caller.queues);
    }
    for queue in &hello.queues {
        caller.check_queue(queue)?;
    }
    // Whoever has the key of a service of ours still gets no work that is meant for others' workers.
    let built_in = |kind: &str| BUILT_IN_KINDS.contains(&kind);
    if caller.caller == Caller::Service(Service::Worker)
        && let Some(kind) = hello.kinds.iter().find(|kind| !built_in(kind))
    {
        let message = format!("a worker of every namespace runs the built-in kinds only, not `{kind}`");
        return Err(Error::new(ErrorCode::Forbidden, message));
    }
    Ok(())
}

fn check(hello: &Hello) -> Result<Checked> {
    let session = Uuid::try_parse(&hello.session)
        .ok()
        .filter(|id| !id.is_nil())
        .ok_or_else(|| Error::invalid("hello.session", "is not a UUID"))?;
    if hello.kinds.is_empty() {
        return Err(Error::invalid("hello.kinds", "is empty; name the kinds of task that the worker can run"));
    }
    for (field, names) in [("hello.queues", &hello.queues), ("hello.kinds", &hello.kinds)] {
        if names.len() > limits::WORKER_NAMES_MAX {
            let message = format!("are {}; at most {} are allowed", names.len(), limits::WORKER_NAMES_MAX);
            return Err(Error::invalid(field, message));
        }
        for name in names {
            limits::check_name(field, name)?;
        }
    }
    if hello.kinds.iter().any(|kind| kind == limits::KIND_MANUAL) {
        return Err(Error::invalid("hello.kinds", "`manual` tasks are for people and never dispatched"));
    }
    if hello.slots > limits::SLOTS_MAX {
        let message = format!("is {}; at most {} is allowed", hello.slots, limits::SLOTS_MAX);
        return Err(Error::invalid("hello.slots", message));
    }
    if hello.held.len() > limits::SLOTS_MAX as usize {
        return Err(Error::invalid("hello.held", format!("lists more than {} runs", limits::SLOTS_MAX)));
    }
    let held = hello.held.iter().map(|run| {
        let id = taskyard_core::id::parse_task_id("hello.held.task_id", &run.task_id)?;
        Ok((id, run.run.cast_signed()))
    });
    Ok(Checked {
        session,
        slots: hello.slots,
        bytes_max: if hello.bytes == 0 { limits::WORKER_BYTES_DEFAULT } else { hello.bytes },
        held: held.collect::<Result<_>>()?,
    })
}
