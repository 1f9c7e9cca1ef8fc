//! What each gRPC method needs of its caller: the one table of rights. A method that is not in it is refused to all.

use taskyard_core::identity::{
    Access::{self, Known, Open, ScopeOrService, SiteAdmin, User},
    Scope::{Admin, TasksRead, TasksWrite, Work},
    Service,
};

const READ: Access = Access::Scope(TasksRead);
const WRITE: Access = Access::Scope(TasksWrite);
const ADMIN: Access = Access::Scope(Admin);

const METHODS: &[(&str, &[(&str, Access)])] = &[
    (
        "taskyard.v1.TaskService",
        &[
            ("CreateTask", WRITE),
            ("CreateTasks", WRITE),
            ("GetTask", READ),
            ("ListTasks", READ),
            ("SearchTasks", READ),
            ("UpdateTask", WRITE),
            ("DeleteTask", WRITE),
            ("CompleteTask", WRITE),
            ("CancelTask", WRITE),
            ("RetryTask", WRITE),
            ("CompleteTasks", WRITE),
            ("CancelTasks", WRITE),
            ("RetryTasks", WRITE),
            ("WatchTasks", READ),
            ("ListEvents", READ),
        ],
    ),
    (
        "taskyard.v1.QueueService",
        &[
            ("ListQueues", READ),
            ("PauseQueue", ADMIN),
            ("ResumeQueue", ADMIN),
            ("SetQueueLimits", ADMIN),
            ("GetBacklog", ScopeOrService(TasksRead, Service::Operator)),
        ],
    ),
    (
        "taskyard.v1.ScheduleService",
        &[
            ("CreateSchedule", WRITE),
            ("GetSchedule", READ),
            ("ListSchedules", READ),
            ("UpdateSchedule", WRITE),
            ("DeleteSchedule", WRITE),
            ("PauseSchedule", WRITE),
            ("ResumeSchedule", WRITE),
            ("TriggerSchedule", WRITE),
            ("ListNextTimes", READ),
            ("PreviewSchedule", READ),
        ],
    ),
    ("taskyard.v1.WorkService", &[("Work", ScopeOrService(Work, Service::Worker))]),
    (
        "taskyard.v1.UserService",
        &[
            ("Register", Open),
            ("SignIn", Open),
            ("RefreshTokens", Open),
            ("SignOut", User),
            ("SignOutEverywhere", User),
            ("ListSignIns", User),
            ("ChangePassword", User),
            ("UpdateUser", User),
            ("WhoAmI", Known),
            ("GetRevision", Open),
            ("GetKeySet", Open),
        ],
    ),
    (
        "taskyard.v1.NamespaceService",
        &[
            ("CreateNamespace", User),
            ("ListNamespaces", User),
            ("GetNamespace", User),
            ("ListMembers", User),
            ("SetMemberRole", User),
            ("RemoveMember", User),
            ("CreateInvitation", User),
            ("ListInvitations", User),
            ("DeleteInvitation", User),
            ("AcceptInvitation", User),
            ("TransferNamespace", User),
            ("DeleteNamespace", User),
        ],
    ),
    (
        "taskyard.v1.AdminService",
        &[
            ("ListAllNamespaces", SiteAdmin),
            ("SetNamespaceQuota", SiteAdmin),
            ("ListUsers", SiteAdmin),
            ("SetUserDisabled", SiteAdmin),
            ("SetUserAdmin", SiteAdmin),
            ("ListAuditEntries", SiteAdmin),
        ],
    ),
    ("taskyard.v1.KeyService", &[("CreateKey", ADMIN), ("ListKeys", ADMIN), ("RevokeKey", ADMIN)]),
    // A kubelet asks without any token.
    ("grpc.health.v1.Health", &[("Check", Open), ("Watch", Open)]),
    ("grpc.reflection.v1.ServerReflection", &[("ServerReflectionInfo", Known)]),
];

/// Methods that take a password, or make tokens.
const SIGN_INS: [&str; 4] = [
    "/taskyard.v1.UserService/ChangePassword",
    "/taskyard.v1.UserService/Register",
    "/taskyard.v1.UserService/SignIn",
    "/taskyard.v1.UserService/RefreshTokens",
];

/// Methods that stream their answer, and can stay open for long.
const STREAMS: [&str; 5] = [
    "/taskyard.v1.WorkService/Work",
    "/taskyard.v1.TaskService/WatchTasks",
    "/taskyard.v1.TaskService/CompleteTasks",
    "/taskyard.v1.TaskService/CancelTasks",
    "/taskyard.v1.TaskService/RetryTasks",
];

/// Whether the answer of a method stays open: it is a stream.
#[must_use]
pub fn stays_open(path: &str) -> bool {
    STREAMS.contains(&path)
}

/// Whether secrets can be tried with a method.
#[must_use]
pub fn is_sign_in(path: &str) -> bool {
    SIGN_INS.contains(&path)
}

/// What a method needs, by the path of its calls (`/package.Service/Method`); none if there is no such method.
#[must_use]
pub fn access(path: &str) -> Option<Access> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    let (_, methods) = METHODS.iter().find(|(name, _)| *name == service)?;
    methods.iter().find(|(name, _)| *name == method).map(|(_, access)| *access)
}

/// The same by the method's name alone; no two have the same.
#[must_use]
pub fn access_by_name(method: &str) -> Option<Access> {
    METHODS.iter().flat_map(|(_, methods)| *methods).find(|(name, _)| *name == method).map(|(_, access)| *access)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    #[test]
    fn every_method_is_in_the_table_and_no_other() {
        let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap().file;
        let ours = files.iter().filter(|file| file.package() == "taskyard.v1");
        let mut methods: Vec<String> = ours
            .flat_map(|file| &file.service)
            .flat_map(|service| {
                service.method.iter().map(|method| format!("/taskyard.v1.{}/{}", service.name(), method.name()))
            })
            .collect();
        for path in &methods {
            assert!(access(path).is_some(), "{path} is not in the table");
        }
        let listed = METHODS.iter().filter(|(service, _)| service.starts_with("taskyard."));
        let mut listed: Vec<String> = listed
            .flat_map(|(service, methods)| methods.iter().map(move |(method, _)| format!("/{service}/{method}")))
            .collect();
        methods.sort();
        listed.sort();
        assert_eq!(listed, methods);
        let names: std::collections::BTreeSet<_> = methods.iter().filter_map(|path| path.rsplit('/').next()).collect();
        assert_eq!(names.len(), methods.len(), "each name is there once");
    }

    #[test]
    fn every_stream_is_known() {
        let files = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap().file;
        let ours = files.iter().filter(|file| file.package() == "taskyard.v1");
        for service in ours.flat_map(|file| &file.service) {
            for method in &service.method {
                let path = format!("/taskyard.v1.{}/{}", service.name(), method.name());
                assert_eq!(stays_open(&path), method.server_streaming(), "{path}");
            }
        }
    }

    #[test]
    fn unknown_methods_have_no_access() {
        for path in [
            "",
            "/",
            "/taskyard.v1.TaskService/",
            "/taskyard.v1.TaskService/Gettask",
            "taskyard.v1.TaskService/GetTask",
        ] {
            assert_eq!(access(path), None, "{path}");
        }
        assert_eq!(access("/taskyard.v1.TaskService/GetTask"), Some(READ));
        for path in SIGN_INS {
            assert!(matches!(access(path), Some(Open | User)), "{path}");
        }
    }
}
