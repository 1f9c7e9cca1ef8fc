//! The rendered chart, applied by the server: no field is unknown to it, and the second time nothing changes.

use anyhow::{Result, ensure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, ValidationDirective},
    discovery::{Discovery, Scope},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::space::Space;

#[tokio::test]
async fn the_rendered_chart_is_applied_twice_and_changes_nothing() -> Result<()> {
    Space::with("apply", async |space| {
        // With everything that this cluster knows.
        let values = "roles: {gateway: {autoscaling: {enabled: true}}, worker: {kind: StatefulSet}}
secrets:
  TASKYARD_ADMIN_PASSWORD: {value: a-password-that-stays}
  TASKYARD_ADMIN_KEY: {value: tyk_a-key-that-stays-000000000000000000}
  TASKYARD_WORKER_KEY: {value: tys_a-key-that-stays-000000000000000000}
  TASKYARD_OPERATOR_KEY: {value: tys_a-key-that-stays-111111111111111111}
ingress: {enabled: true, hosts: [{host: tasks.example.com}]}";
        let rendered = space.helm_with(["template", "taskyard", "charts/taskyard"], values).await?;
        let discovery = Discovery::new(space.client.clone()).run().await?;
        let parameters =
            PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::apply("test").force() };
        let mut objects = Vec::new();
        for document in serde_saphyr::from_multiple::<Value>(&rendered)? {
            // What `helm test` makes is no part of it.
            if document.is_null() || document["metadata"]["annotations"]["helm.sh/hook"].is_string() {
                continue;
            }
            let object = DynamicObject::deserialize(document.clone())?;
            let types = object.types.clone().unwrap_or_default();
            let gvk = kube::core::GroupVersionKind::try_from(&types)?;
            let (resource, capabilities) =
                discovery.resolve_gvk(&gvk).ok_or_else(|| anyhow::anyhow!("the cluster does not know {gvk:?}"))?;
            let api: Api<DynamicObject> = match capabilities.scope {
                Scope::Namespaced => Api::namespaced_with(space.client.clone(), &space.name, &resource),
                Scope::Cluster => Api::all_with(space.client.clone(), &resource),
            };
            objects.push((api, document));
        }
        ensure!(objects.len() > 15, "{} objects only", objects.len());
        let mut first = Vec::new();
        for (api, document) in &objects {
            first.push(api.patch(name(document), &parameters, &Patch::Apply(document)).await?);
        }
        for ((api, document), first) in objects.iter().zip(first) {
            let second = api.patch(name(document), &parameters, &Patch::Apply(document)).await?;
            ensure!(
                without_noise(&first) == without_noise(&second),
                "{} {} has changed:\n{:?}\n{:?}",
                document["kind"],
                name(document),
                without_noise(&first),
                without_noise(&second)
            );
        }
        Ok(())
    })
    .await
}

fn name(document: &Value) -> &str {
    document["metadata"]["name"].as_str().unwrap_or_default()
}

/// What we have said of it, and how often it was changed by that. Controllers write annotations and the status.
fn without_noise(object: &DynamicObject) -> Value {
    let ObjectMeta { generation, labels, .. } = object.metadata.clone();
    let ours: Vec<_> = object.managed_fields().iter().filter(|one| one.manager.as_deref() == Some("test")).collect();
    json!({ "generation": generation, "labels": labels, "ours": ours, "spec": object.data.get("spec") })
}
