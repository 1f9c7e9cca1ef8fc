//! A pod, and clients of it that show whatever a test wants.

use anyhow::{Context, Result};
use taskyard_client::{Client, Pods, Token};
use taskyard_proto::v1;
use taskyard_tests::{Answer, Pod, Stack, read};
use tonic::{Request, transport::Channel};

pub const PASSWORD: &str = "correct horse battery";

pub struct Accounts {
    pub stack: Stack,
    pub pod: Pod,
    pub channel: Channel,
}

/// Somebody who has signed in.
#[derive(Clone, Debug)]
pub struct Person {
    pub id: String,
    pub access: String,
    pub refresh: String,
    pub namespace: String,
}

impl Accounts {
    pub async fn open() -> Result<Self> {
        Self::with(&[]).await
    }

    pub async fn with(flags: &[(&str, &str)]) -> Result<Self> {
        let stack = Stack::shared().await?;
        let pod = stack.pod_with(flags).await?;
        let channel = Channel::from_shared(pod.url())?.connect().await?;
        Ok(Self { stack, pod, channel })
    }

    pub async fn close(self) -> Result<()> {
        self.pod.stop().await?;
        self.stack.close().await
    }

    pub fn users(&self) -> v1::user_service_client::UserServiceClient<Channel> {
        v1::user_service_client::UserServiceClient::new(self.channel.clone())
    }

    pub fn namespaces(&self) -> v1::namespace_service_client::NamespaceServiceClient<Channel> {
        v1::namespace_service_client::NamespaceServiceClient::new(self.channel.clone())
    }

    pub fn keys(&self) -> v1::key_service_client::KeyServiceClient<Channel> {
        v1::key_service_client::KeyServiceClient::new(self.channel.clone())
    }

    pub fn tasks(&self) -> v1::task_service_client::TaskServiceClient<Channel> {
        v1::task_service_client::TaskServiceClient::new(self.channel.clone())
    }

    /// A client of ours.
    pub fn client(&self, token: &str) -> Result<Client> {
        Ok(Client::new(Pods::connect([self.pod.url()], Token::bearer(token)?)?))
    }

    pub async fn register(&self, email: &str) -> Result<Person> {
        let request =
            v1::RegisterRequest { email: email.into(), password: PASSWORD.into(), ..v1::RegisterRequest::default() };
        let answer = read(self.users().register(request).await)?;
        person(answer.user, answer.tokens)
    }

    pub async fn sign_in(&self, email: &str, password: &str, namespace: &str) -> Answer<v1::SignInResponse> {
        let request = v1::SignInRequest {
            email: email.into(),
            password: password.into(),
            namespace: namespace.into(),
            agent: "a test".into(),
            id_token: String::new(),
        };
        read(self.users().sign_in(request).await)
    }

    pub async fn refresh(&self, token: &str, namespace: &str) -> Answer<v1::Tokens> {
        let request = v1::RefreshTokensRequest { refresh_token: token.into(), namespace: namespace.into() };
        Ok(read(self.users().refresh_tokens(request).await)?.tokens.unwrap_or_default())
    }

    pub async fn who_am_i(&self, token: &str) -> Answer<v1::WhoAmIResponse> {
        read(self.users().who_am_i(shown(token, v1::WhoAmIRequest {})).await)
    }

    /// A key of the namespace that a token is bound to.
    pub async fn key(&self, token: &str, scopes: &[&str], queues: &[&str]) -> Answer<(String, String)> {
        let request = v1::CreateKeyRequest {
            name: "a key".into(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
            expires_time: None,
        };
        let made = read(self.keys().create_key(shown(token, request)).await)?;
        Ok((made.key.unwrap_or_default().id, made.secret))
    }

    pub async fn create(&self, token: &str, task: v1::NewTask) -> Answer<v1::Task> {
        let request = shown(token, v1::CreateTaskRequest { task: Some(task) });
        Ok(read(self.tasks().create_task(request).await)?.task.unwrap_or_default())
    }

    pub async fn get(&self, token: &str, id: &str) -> Answer<v1::Task> {
        let request = shown(token, v1::GetTaskRequest { id: id.into() });
        Ok(read(self.tasks().get_task(request).await)?.task.unwrap_or_default())
    }
}

pub fn person(user: Option<v1::User>, tokens: Option<v1::Tokens>) -> Result<Person> {
    let (user, tokens) = (user.context("a user")?, tokens.context("tokens")?);
    Ok(Person { id: user.id, access: tokens.access_token, refresh: tokens.refresh_token, namespace: tokens.namespace })
}

/// A request that shows a token.
pub fn shown<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}
