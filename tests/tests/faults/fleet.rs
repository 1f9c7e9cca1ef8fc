//! Tasks pods as processes, at addresses that stay, and orders to die or to freeze at a named point.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use taskyard_client::{Client, Pods};
use taskyard_testkit::{eventually, free_port};
use taskyard_tests::{PodProcess, Stack};

use crate::SOON;

/// The session timeout of most fleets: the shortest that is allowed.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(5);
/// A frozen leader's lock is gone after 3 s, and others try every 0.6 s: somebody else leads within this.
pub const TAKEOVER_MAX: Duration = Duration::from_secs(5);

/// Pods that share the servers, and a file with an order for whichever reaches the point first.
pub struct Fleet {
    pub stack: Stack,
    pods: Vec<Member>,
    order: PathBuf,
}

struct Member {
    port: u16,
    /// None while it is gone.
    pod: Option<PodProcess>,
    environment: Vec<(&'static str, String)>,
}

impl Fleet {
    /// So many pods, ready to serve, the first of which leads.
    pub async fn start(pods: usize) -> Result<Self> {
        Self::start_with(&SESSION_TIMEOUT.as_secs().to_string(), pods).await
    }

    /// The same with another session timeout, in seconds.
    pub async fn start_with(session_timeout_s: &str, pods: usize) -> Result<Self> {
        let mut fleet = Self::empty(session_timeout_s).await?;
        for number in 0..pods {
            fleet.add(&[]).await?;
            if number == 0 {
                fleet.leads(SOON).await?;
            }
        }
        Ok(fleet)
    }

    /// No pod yet.
    pub async fn empty(session_timeout_s: &str) -> Result<Self> {
        Ok(Self::on(Stack::shared().await?, session_timeout_s))
    }

    /// The same on servers of the test's choice.
    pub fn on(mut stack: Stack, session_timeout_s: &str) -> Self {
        stack.flags = ["--session-timeout-s", session_timeout_s, "--tasks-grace-period-s", "10"].map(Into::into).into();
        let order = std::env::temp_dir().join(format!("taskyard-fault-{}", stack.sandbox.prefix()));
        Self { stack, pods: Vec::new(), order }
    }

    /// One more pod, with an environment that it keeps over restarts. Returns its number.
    pub async fn add(&mut self, environment: &[(&'static str, String)]) -> Result<usize> {
        let mut environment = environment.to_vec();
        environment.push(("TASKYARD_FAULT_FILE", self.order.to_string_lossy().into_owned()));
        self.add_pod(environment).await
    }

    /// One more pod, which takes no orders. Returns its number.
    pub async fn add_deaf(&mut self) -> Result<usize> {
        self.add_pod(Vec::new()).await
    }

    async fn add_pod(&mut self, environment: Vec<(&'static str, String)>) -> Result<usize> {
        self.pods.push(Member { port: free_port()?, pod: None, environment });
        let number = self.pods.len() - 1;
        self.start_pod(number).await?;
        Ok(number)
    }

    /// Starts a pod that is gone, at the address that it had.
    pub async fn start_pod(&mut self, number: usize) -> Result<()> {
        let member = &mut self.pods[number];
        let pod = self.stack.process_at(member.port, &member.environment)?;
        member.pod.insert(pod).wait_until_ready().await
    }

    /// Ends a pod at once.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        self.pods[number].pod.take().context("the pod is gone")?.process.kill()
    }

    /// Tells a pod to end, as Kubernetes would.
    pub fn terminate(&mut self, number: usize) -> Result<()> {
        self.pod(number)?.process.terminate()
    }

    /// Waits until a pod that was told to end is gone: it must end well, and in time.
    pub async fn is_gone(&mut self, number: usize) -> Result<()> {
        let mut pod = self.pods[number].pod.take().context("the pod is gone")?;
        let status = pod.process.wait_exit(Duration::from_secs(30)).await?;
        ensure!(status.success(), "{status}: {}", pod.process.output());
        Ok(())
    }

    pub fn url(&self, number: usize) -> String {
        format!("http://127.0.0.1:{}", self.pods[number].port)
    }

    pub fn urls(&self) -> Vec<String> {
        (0..self.pods.len()).map(|number| self.url(number)).collect()
    }

    pub fn pod(&mut self, number: usize) -> Result<&mut PodProcess> {
        self.pods[number].pod.as_mut().with_context(|| format!("pod {number} is gone"))
    }

    /// A pod that is neither of these.
    pub fn another(&mut self, than: &[usize]) -> Result<&mut PodProcess> {
        let number = (0..self.pods.len()).find(|number| !than.contains(number) && self.pods[*number].pod.is_some());
        self.pod(number.context("no other pod")?)
    }

    /// A client of all pods, which repeats what fails with UNAVAILABLE.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(Pods::connect(self.urls(), taskyard_tests::token())?))
    }

    /// The term as the database has it.
    pub async fn term(&self) -> Result<i64> {
        self.stack.number("select term from tasks.leader").await
    }

    /// Which pod leads, and in which term.
    pub async fn leads(&self, within: Duration) -> Result<(i64, usize)> {
        eventually(within, "a pod leads", async || {
            let term = self.term().await.ok()?;
            let says_so = format!("this process leads term={term}");
            let leads = |member: &Member| {
                let output = member.pod.as_ref().map(|pod| pod.process.output()).unwrap_or_default();
                output.lines().any(|line| line.ends_with(&says_so))
            };
            Some((term, self.pods.iter().position(leads)?))
        })
        .await
    }

    /// Waits until there is a newer term than this one.
    pub async fn newer_term(&self, than: i64, within: Duration) -> Result<i64> {
        eventually(within, format!("a newer term than {than}"), async || {
            self.term().await.ok().filter(|term| *term > than)
        })
        .await
    }

    /// From now on the next process that reaches the point carries this out.
    pub fn order(&self, action: &str, point: &str) -> Result<()> {
        let draft = self.order.with_extension("draft");
        std::fs::write(&draft, format!("{action} {point}"))?;
        Ok(std::fs::rename(draft, &self.order)?)
    }

    /// Waits until a process has reached the point.
    pub async fn is_taken(&self, within: Duration) -> Result<()> {
        let taken = eventually(within, "a process reaches the point", async || (!self.order.exists()).then_some(()));
        taken.await.context("the machine is slow, or taskyard is built without --features taskyard-tasks/fault-points")
    }

    /// Waits until the point was reached and the process stands still or is dead; returns which one, and when.
    pub async fn struck(&mut self, within: Duration) -> Result<(usize, Instant)> {
        self.is_taken(within).await?;
        let struck_at = Instant::now();
        let deadline = struck_at + Duration::from_secs(5);
        while Instant::now() < deadline {
            for (number, member) in self.pods.iter_mut().enumerate() {
                let Some(pod) = &mut member.pod else { continue };
                if pod.process.is_frozen() {
                    return Ok((number, struck_at));
                }
                // One that was told to end may do so meanwhile.
                if let Ok(status) = pod.process.wait_exit(Duration::ZERO).await
                    && !status.success()
                {
                    member.pod = None;
                    return Ok((number, struck_at));
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("the order was taken, and no process is dead or frozen")
    }

    /// Ends all pods and removes what the test had.
    pub async fn close(mut self) -> Result<()> {
        self.pods.clear();
        let _ = std::fs::remove_file(&self.order);
        self.stack.close().await
    }
}
