//! Pages of tasks, and the tokens that lead from one to the next.

use chrono::DateTime;
use sha2::{Digest, Sha256};
use taskyard_core::{
    Error, Result, TaskState, limits,
    task::{Filter, Namespace, Order, Task},
};
use taskyard_postgres::failure;
use uuid::Uuid;

use super::App;
use crate::store::{
    list::{self, Cursor},
    search_reader,
};

impl App {
    /// One page of tasks and the token of the next.
    ///
    /// # Errors
    /// If the page's size, token or filter is wrong.
    pub async fn list(
        &self,
        namespace: Namespace,
        filter: &Filter,
        order: Order,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<Task>, String)> {
        let page_size = limits::check_page_size(page_size, limits::PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX)?;
        if order.is_by_finish() && filter.states.iter().any(|state| !state.is_finished()) {
            let message = "only completed, dead and canceled tasks have a finish time to sort by";
            return Err(Error::invalid("filter.states", message));
        }
        let mut filter = filter.clone();
        filter.states.sort_unstable();
        filter.states.dedup();
        // All states are no filter: then one index is walked instead of seven.
        if filter.states.len() == TaskState::ALL.len() {
            filter.states.clear();
        }
        let digest = digest(&filter, order);
        let after = if page_token.is_empty() { None } else { Some(read_token(page_token, &digest, order)?) };
        self.check_index_for(&filter).await?;
        let page = list::task_list(&self.pool, namespace, &filter, order, after, page_size)
            .await
            .map_err(failure::to_error)?;
        Ok((page.tasks, page.next.map(|cursor| write_token(&cursor, &digest)).unwrap_or_default()))
    }
}

impl App {
    /// A list by label or creator needs an index that has all tasks.
    pub(super) async fn check_index_for(&self, filter: &Filter) -> Result<()> {
        if !filter.is_by_index() {
            return Ok(());
        }
        let index = search_reader::search_reader_read(&self.pool).await.map_err(failure::to_error)?;
        self.check_index(index.is_whole)
    }
}

fn digest(filter: &Filter, order: Order) -> String {
    let hash = Sha256::digest(format!("{filter:?}{order:?}"));
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn write_token(cursor: &Cursor, digest: &str) -> String {
    let finished = cursor.finished_at.map(|at| at.timestamp_micros().to_string()).unwrap_or_default();
    format!("{digest}.{}.{finished}", cursor.id.simple())
}

fn read_token(token: &str, digest: &str, order: Order) -> Result<Cursor> {
    let wrong = |message: &str| Error::invalid("page_token", message);
    let mut parts = token.split('.');
    let (Some(of), Some(id), Some(finished), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(wrong("is not a token of this API"));
    };
    if of != digest {
        return Err(wrong("belongs to another filter or order"));
    }
    let id = Uuid::try_parse(id).map_err(|_| wrong("is not a token of this API"))?;
    let finished_at = if order.is_by_finish() {
        let at = finished.parse().ok().and_then(DateTime::from_timestamp_micros);
        Some(at.ok_or_else(|| wrong("is not a token of this API"))?)
    } else if finished.is_empty() {
        None
    } else {
        return Err(wrong("is not a token of this API"));
    };
    Ok(Cursor { id, finished_at })
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_token_is_read_or_refused(token in ".*") {
            for order in [Order::CreatedAsc, Order::FinishedAsc] {
                let _ = read_token(&token, "abc", order);
            }
        }
    }

    #[test]
    fn a_token_belongs_to_its_filter_and_order() {
        let filter = Filter { queue: Some("a".into()), ..Filter::default() };
        let of = digest(&filter, Order::FinishedDesc);
        let finished_at = DateTime::from_timestamp_micros(Utc::now().timestamp_micros());
        let cursor = Cursor { id: Uuid::now_v7(), finished_at };
        let token = write_token(&cursor, &of);
        assert_eq!(read_token(&token, &of, Order::FinishedDesc).unwrap(), cursor);
        assert!(read_token(&token, &digest(&filter, Order::FinishedAsc), Order::FinishedAsc).is_err());
        assert!(read_token(&token, &digest(&Filter::default(), Order::FinishedDesc), Order::FinishedDesc).is_err());
        let without_time = write_token(&Cursor { finished_at: None, ..cursor }, &of);
        assert!(read_token(&without_time, &of, Order::FinishedDesc).is_err());
    }
}
