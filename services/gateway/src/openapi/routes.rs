//! Routes that are described: there is no other way to serve one.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};

use super::{Operation, input::Inputs};
use crate::app::App;

/// A handler of one method, and what it does.
pub(crate) struct Endpoint {
    method: &'static str,
    router: MethodRouter<App>,
    operation: Operation,
}

/// A route's path and method, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) path: &'static str,
    pub(crate) method: &'static str,
    pub(crate) operation: Operation,
}

/// Routes and their descriptions, in order.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<App>,
    described: Vec<Described>,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Serves a path.
    pub(crate) fn at(mut self, path: &'static str, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let mut methods = MethodRouter::new();
        for Endpoint { method, router, operation } in endpoints {
            methods = methods.merge(router);
            self.described.push(Described { path, method, operation });
        }
        self.router = self.router.route(path, methods);
        self
    }

    /// What is served, and its description.
    pub(crate) fn split(self) -> (Router<App>, Vec<Described>) {
        (self.router, self.described)
    }
}

pub(crate) fn get<H: Handler<T, App>, T: Inputs + 'static>(handler: H, operation: Operation) -> Endpoint {
    endpoint("get", MethodFilter::GET, handler, operation)
}

pub(crate) fn post<H: Handler<T, App>, T: Inputs + 'static>(handler: H, operation: Operation) -> Endpoint {
    endpoint("post", MethodFilter::POST, handler, operation.changes())
}

pub(crate) fn put<H: Handler<T, App>, T: Inputs + 'static>(handler: H, operation: Operation) -> Endpoint {
    endpoint("put", MethodFilter::PUT, handler, operation.changes())
}

pub(crate) fn patch<H: Handler<T, App>, T: Inputs + 'static>(handler: H, operation: Operation) -> Endpoint {
    let endpoint = endpoint("patch", MethodFilter::PATCH, handler, operation.changes());
    Endpoint { operation: endpoint.operation.takes_merge_patch(), ..endpoint }
}

pub(crate) fn delete<H: Handler<T, App>, T: Inputs + 'static>(handler: H, operation: Operation) -> Endpoint {
    endpoint("delete", MethodFilter::DELETE, handler, operation.changes())
}

fn endpoint<H: Handler<T, App>, T: Inputs + 'static>(
    method: &'static str,
    filter: MethodFilter,
    handler: H,
    mut operation: Operation,
) -> Endpoint {
    T::describe(&mut operation);
    Endpoint { method, router: on(filter, handler), operation: operation.guarded() }
}
