//! How often a caller may call, and how callers without a name are told apart.

use std::{net::IpAddr, time::Duration};

use clap::Args;
use ipnet::IpNet;
use taskyard_redis::Rate;
use taskyard_runtime::config::Problems;

/// Reads and writes are counted over so long: long enough for a burst, short enough that nobody waits long after one.
const WINDOW: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// How often a caller may call. A caller is a user, a key, or, before it has signed in, an address.
#[derive(Args, Clone, Debug)]
pub struct RateArgs {
    /// Reads a second of one user or key, over ten seconds; 0: no limit
    #[arg(long, env = "TASKYARD_GATEWAY_READS_PER_S", default_value_t = 2_000, value_name = "NUMBER")]
    pub reads_per_s: u32,
    /// Writes a second of one user or key, over ten seconds; a batch is one; 0: no limit
    #[arg(long, env = "TASKYARD_GATEWAY_WRITES_PER_S", default_value_t = 1_000, value_name = "NUMBER")]
    pub writes_per_s: u32,
    /// Sign-ins, registrations and refreshed tokens a minute of one address, and as many wrong tokens; 0: no limit
    #[arg(long, env = "TASKYARD_GATEWAY_SIGN_INS_PER_MIN", default_value_t = 30, value_name = "NUMBER")]
    pub sign_ins_per_min: u32,
    /// Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`; none if not given
    #[arg(
        long = "trusted-proxy",
        env = "TASKYARD_GATEWAY_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NETWORK"
    )]
    pub trusted_proxies: Vec<String>,
}

impl Default for RateArgs {
    /// As if nothing was given.
    fn default() -> Self {
        Self { reads_per_s: 2_000, writes_per_s: 1_000, sign_ins_per_min: 30, trusted_proxies: Vec::new() }
    }
}

impl RateArgs {
    pub(super) fn check(&self, problems: &mut Problems) -> Rates {
        let mut rates = self.rates();
        for given in self.trusted_proxies.iter().map(|given| given.trim()).filter(|given| !given.is_empty()) {
            // One address is a network of one.
            match given.parse::<IpNet>().or_else(|_| given.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => rates.trusted_proxies.push(network),
                Err(_) => problems.add(format!(
                    "--trusted-proxy `{given}` must be an address or a network, such as 10.0.0.7 or 10.0.0.0/8"
                )),
            }
        }
        rates
    }

    fn rates(&self) -> Rates {
        let rate = |limit: u32, window| (limit > 0).then_some(Rate { limit, window });
        let of_window = |per_s: u32| rate(per_s.saturating_mul(WINDOW.as_secs() as u32), WINDOW);
        Rates {
            reads: of_window(self.reads_per_s),
            writes: of_window(self.writes_per_s),
            sign_ins: rate(self.sign_ins_per_min, MINUTE),
            trusted_proxies: Vec::new(),
        }
    }
}

/// What the limiter goes by; no rate, no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Of one user or key.
    pub reads: Option<Rate>,
    /// Of one user or key.
    pub writes: Option<Rate>,
    /// Of one address: what shows a password, or a token that makes tokens; and, apart, tokens of nobody.
    pub sign_ins: Option<Rate>,
    /// Whose word about the address of a client is taken.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Rates {
    fn default() -> Self {
        RateArgs::default().rates()
    }
}
