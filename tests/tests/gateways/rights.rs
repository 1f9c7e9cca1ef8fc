//! Every route of the REST API, by its description: without a token, with a key that has not the right, and with the
//! token of another namespace.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskyard_testkit::eventually;
use taskyard_tests::SOON;
use uuid::Uuid;

use crate::rig::{Gateway, Person, Rig};

struct Route {
    path: String,
    method: String,
    operation: Value,
}

/// All that call the tasks service.
fn routes() -> Result<Vec<Route>> {
    let document: Value = serde_json::from_str(&taskyard_gateway::openapi())?;
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().context("paths")? {
        for (method, operation) in methods.as_object().context("methods")? {
            if operation["tags"][0] != "Server" {
                routes.push(Route { path: path.clone(), method: method.clone(), operation: operation.clone() });
            }
        }
    }
    assert!(routes.len() > 50, "{}", routes.len());
    Ok(routes)
}

impl Route {
    /// The role that it needs; none if it needs no token, empty if any will do.
    fn role(&self) -> Option<&str> {
        let needed = self.operation["security"].get(0)?;
        Some(needed["bearer"][0].as_str().unwrap_or_default())
    }

    fn body(&self) -> &Value {
        let body = &self.operation["requestBody"];
        let example = &body["content"]["application/json"]["example"];
        assert!(!example.is_null() || body["required"] != true, "{} {} has no example", self.method, self.path);
        example
    }

    /// Nothing where it can be left out.
    fn needed_body(&self) -> &Value {
        if self.operation["requestBody"]["required"] == true { self.body() } else { &Value::Null }
    }

    /// With something in place of each name.
    fn at(&self, names: &BTreeMap<&str, String>) -> String {
        let part = |part: &str| match part.strip_prefix('{') {
            // `/v1/keys/{id}`: the id of keys.
            Some(name) => {
                let name = name.trim_end_matches('}');
                let before = self.path.split_once(&format!("/{{{name}}}")).unwrap().0;
                let what = before.rsplit('/').next().unwrap();
                names.get(what).cloned().unwrap_or_else(|| panic!("{}: nothing for {what}", self.path))
            }
            None => part.to_owned(),
        };
        self.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}

fn made_up() -> BTreeMap<&'static str, String> {
    let id = || Uuid::now_v7().to_string();
    [
        ("tasks", id()),
        ("keys", id()),
        ("sign-ins", id()),
        ("invitations", id()),
        ("members", id()),
        ("users", id()),
        ("queues", "letters".into()),
        ("schedules", "nightly".into()),
        ("namespaces", "team".into()),
    ]
    .into()
}

#[tokio::test]
async fn every_route_asks_for_a_token_and_its_right() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let ada = gateway.register("ada@example.com").await?;
    // A key can be given no right that its maker has not, so whoever makes keys has all; labels are merged by whoever reads.
    let held: [&[&str]; 4] =
        [&["tasks:read"], &["tasks:read", "tasks:write"], &["work"], &["tasks:read", "tasks:write", "work", "admin"]];
    let mut keys = Vec::new();
    for scopes in held {
        keys.push((scopes, gateway.key(&ada.access, scopes).await?.1));
    }
    let mut names = made_up();
    for route in routes()? {
        // One that is there: a change reads it first.
        let task = gateway.send("POST", "/v1/tasks", &ada.access, &json!({ "kind": "manual" })).await?;
        names.insert("tasks", task.text("/id")?);
        let (path, what) = (route.at(&names), format!("{} {}", route.method, route.path));
        let Some(role) = route.role() else { continue };
        let refused = gateway.send(&route.method, &path, "", route.body()).await?;
        assert_eq!((refused.status.as_u16(), refused.text("/code")?.as_str()), (401, "UNAUTHENTICATED"), "{what}");
        for (scopes, key) in &keys {
            let answer = gateway.send(&route.method, &path, key, route.body()).await?;
            let may = role.is_empty() || scopes.contains(&role);
            assert_eq!(answer.status != 403, may, "{what} with {scopes:?}: {answer:?}");
            assert!(answer.status.as_u16() != 400 || may, "{what} with {scopes:?}: {answer:?}");
            assert!(!answer.status.is_server_error(), "{what} with {scopes:?}: {answer:?}");
        }
    }
    gateway.stop().await?;
    rig.close().await
}

/// One of everything that has a name, in a namespace of somebody's.
async fn make_everything(gateway: &Gateway, owner: &Person) -> Result<BTreeMap<&'static str, String>> {
    let token = &owner.access;
    let make = async |path: &str, body: Value| {
        let answer = gateway.send("POST", path, token, &body).await?;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        anyhow::Ok(answer)
    };
    let task = make("/v1/tasks", json!({ "kind": "manual", "queue": "letters" })).await?;
    make("/v1/schedules", json!({ "name": "nightly", "times": { "cron": "0 3 * * *" }, "task": { "kind": "noop" } }))
        .await?;
    make("/v1/namespaces", json!({ "name": "team" })).await?;
    let invitation =
        make("/v1/namespaces/team/invitations", json!({ "email": "bob@example.com", "role": "viewer" })).await?;
    let (key, _) = gateway.key(token, &["tasks:read"]).await?;
    let sign_ins = gateway.send("GET", "/v1/auth/sign-ins", token, &Value::Null).await?;
    Ok([
        ("tasks", task.text("/id")?),
        ("keys", key),
        ("sign-ins", sign_ins.text("/sign_ins/0/id")?),
        ("invitations", invitation.text("/id")?),
        ("members", owner.id.clone()),
        ("users", owner.id.clone()),
        ("queues", "letters".into()),
        ("schedules", "nightly".into()),
        ("namespaces", "team".into()),
    ]
    .into())
}

/// What its owner sees of it.
async fn seen(gateway: &Gateway, owner: &Person) -> Result<Vec<Value>> {
    let mut seen = Vec::new();
    for path in [
        "/v1/tasks",
        "/v1/events",
        "/v1/schedules",
        "/v1/queues",
        "/v1/namespaces",
        "/v1/namespaces/team/members",
        "/v1/namespaces/team/invitations",
        "/v1/auth/sign-ins",
    ] {
        let answer = gateway.send("GET", path, &owner.access, &Value::Null).await?;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        seen.push(answer.json);
    }
    let keys = gateway.send("GET", "/v1/keys", &owner.access, &Value::Null).await?;
    seen.push(json!(keys.json["keys"].as_array().context("keys")?.len()));
    Ok(seen)
}

#[tokio::test]
async fn what_is_anothers_is_not_there() -> Result<()> {
    let rig = Rig::open().await?;
    let gateway = rig.gateway(|_| {}).await?;
    let (ada, eve) = (gateway.register("ada@example.com").await?, gateway.register("eve@example.com").await?);
    let names = make_everything(&gateway, &ada).await?;
    // An event is shown once no older transaction of anybody is under way.
    let events = async || gateway.send("GET", "/v1/events", &ada.access, &Value::Null).await.ok();
    eventually(SOON, "the task's event is shown", async || {
        events().await?.json["events"].as_array().filter(|events| !events.is_empty()).map(drop)
    })
    .await?;
    let before = seen(&gateway, &ada).await?;
    for route in routes()?.iter().filter(|route| route.path.contains('{')) {
        let answer = gateway.send(&route.method, &route.at(&names), &eve.access, route.needed_body()).await?;
        let expected = match route.role() {
            Some("site_admin") => 403,
            // A sign-in that is not there has ended, which is all that was asked for.
            _ if route.path == "/v1/auth/sign-ins/{id}" => 204,
            _ => 404,
        };
        assert_eq!(answer.status, expected, "{} {}: {answer:?}", route.method, route.path);
    }
    // What changes many at once changes none of them.
    for route in routes()?.iter().filter(|route| !route.path.contains('{') && route.path.starts_with("/v1/tasks/")) {
        let answer = gateway.send(&route.method, &route.path, &eve.access, &json!({ "filter": {} })).await?;
        assert!(!answer.status.is_server_error(), "{} {}: {answer:?}", route.method, route.path);
    }
    assert_eq!(seen(&gateway, &ada).await?, before);
    // All of these are there for their owner, which shows that the names were good.
    let mut read = 0;
    for route in routes()?.iter().filter(|route| route.path.contains('{') && route.method == "get") {
        let answer = gateway.send("GET", &route.at(&names), &ada.access, &Value::Null).await?;
        assert_eq!(answer.status, 200, "{}: {answer:?}", route.path);
        read += 1;
    }
    assert!(read > 6, "{read}");
    gateway.stop().await?;
    rig.close().await
}
