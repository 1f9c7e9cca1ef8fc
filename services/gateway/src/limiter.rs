//! How often a caller may call. All gateways share the counts, in Redis; while it fails, everybody is let in.

mod suspects;

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
};
use taskyard_core::{Error, ErrorCode, identity::Caller};
use taskyard_redis::{Admission, Rate, Spare};
use taskyard_runtime::metrics::Metrics;
use tokio::sync::SemaphorePermit;

use self::suspects::Suspects;
use crate::config::Rates;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Counts requests, and knows how many are too many.
#[derive(Debug)]
pub(crate) struct Limiter {
    redis: Option<Spare>,
    rates: Rates,
    suspects: Suspects,
    refused: Family<Refused, Counter>,
    uncounted: Counter,
}

/// What kinds of request are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Class {
    /// Whatever takes a password, or makes tokens: of strangers by address.
    SignIn,
    /// A token or key of nobody, by address.
    WrongToken,
    Read,
    Write,
}

impl Class {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign-ins",
            Self::WrongToken => "wrong-tokens",
            Self::Read => "reads",
            Self::Write => "writes",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    class: Class,
}

/// How a caller stands after one more request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    class: Class,
    rate: Rate,
    admission: Admission,
}

impl Limiter {
    pub(crate) fn new(redis: Option<Spare>, rates: Rates, metrics: &Metrics) -> Self {
        let (refused, uncounted) = (Family::default(), Counter::default());
        metrics.register(|registry| {
            let help = "Requests refused because their caller came too often, by class";
            registry.register("rate_limited_requests", help, refused.clone());
            let help = "Requests let in without being counted, as Redis did not answer";
            registry.register("rate_limit_uncounted_requests", help, uncounted.clone());
        });
        Self { redis, rates, suspects: Suspects::new(), refused, uncounted }
    }

    pub(crate) const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// A request of a known caller. None: it is not counted.
    ///
    /// # Errors
    /// If that is one too many.
    pub(crate) async fn admit(&self, class: Class, caller: &Caller) -> Result<Option<Standing>, Standing> {
        let who = match caller {
            Caller::User { id, .. } => id.simple(),
            Caller::Key { id } => id.simple(),
            // Ours, and as many as its operator lets run.
            Caller::Service(_) => return Ok(None),
        };
        let rate = match class {
            Class::SignIn | Class::WrongToken => self.rates.sign_ins,
            Class::Read => self.rates.reads,
            Class::Write => self.rates.writes,
        };
        self.count(class, rate, who).await
    }

    /// A request of a stranger.
    ///
    /// # Errors
    /// If that is one too many.
    pub(crate) async fn admit_stranger(&self, address: IpAddr) -> Result<Option<Standing>, Standing> {
        self.count(Class::SignIn, self.rates.sign_ins, network(address)).await
    }

    /// A token or key that turned out to be nobody's.
    ///
    /// # Errors
    /// If that is one too many.
    pub(crate) async fn admit_wrong_token(&self, address: IpAddr) -> Result<(), Standing> {
        let address = network(address);
        let counted = self.count(Class::WrongToken, self.rates.sign_ins, address).await;
        counted.map(drop).inspect_err(|standing| self.suspects.note(address, standing.admission.free_in))
    }

    /// To be held while a token that is not known here is verified.
    pub(crate) async fn turn(&self, address: IpAddr) -> Option<SemaphorePermit<'_>> {
        self.suspects.turn(network(address)).await
    }

    async fn count(
        &self,
        class: Class,
        rate: Option<Rate>,
        who: impl std::fmt::Display,
    ) -> Result<Option<Standing>, Standing> {
        let (Some(redis), Some(rate)) = (&self.redis, rate) else { return Ok(None) };
        let Some(admission) = redis.admit(&format!("{}:{who}", class.as_str()), rate).await else {
            self.uncounted.inc();
            return Ok(None);
        };
        let standing = Standing { class, rate, admission };
        if admission.is_admitted {
            return Ok(Some(standing));
        }
        self.refused.get_or_create(&Refused { class }).inc();
        Err(standing)
    }
}

impl Standing {
    /// As draft-ietf-httpapi-ratelimit-headers has it: the limit, and what is left of it until when.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        let (name, Rate { limit, window }) = (self.class.as_str(), self.rate);
        let left = self.admission.left;
        let policy = format!("\"{name}\";q={limit};w={}", window.as_secs());
        let standing = format!("\"{name}\";r={left};t={}", self.free_in_s());
        for (header, text) in [(POLICY, policy), (STANDING, standing)] {
            // Digits and letters always are a header's value.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(header, value);
            }
        }
    }

    /// Why the request is refused.
    pub(crate) fn error(&self) -> Error {
        let Rate { limit, window } = self.rate;
        let whose = match self.class {
            Class::SignIn | Class::WrongToken => "address",
            Class::Read | Class::Write => "caller",
        };
        let message = format!(
            "{limit} {} in {} s are taken of one {whose}; the next one in {} s",
            self.class.as_str(),
            window.as_secs(),
            self.free_in_s()
        );
        let mut error = Error::new(ErrorCode::Exhausted, message);
        error.retry_after = Some(self.admission.free_in);
        error
    }

    fn free_in_s(&self) -> u128 {
        self.admission.free_in.as_millis().div_ceil(1_000)
    }
}

/// Who has one address of IPv6 has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_standing_is_told_in_two_headers() {
        let rate = Rate { limit: 30, window: Duration::from_secs(60) };
        let admission = Admission { is_admitted: false, left: 0, free_in: Duration::from_millis(4_100) };
        let standing = Standing { class: Class::SignIn, rate, admission };
        let mut headers = HeaderMap::new();
        standing.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"sign-ins\";q=30;w=60");
        assert_eq!(headers["ratelimit"], "\"sign-ins\";r=0;t=5");
        let error = standing.error();
        assert_eq!(error.message, "30 sign-ins in 60 s are taken of one address; the next one in 5 s");
        assert_eq!(error.retry_after, Some(Duration::from_millis(4_100)));
    }

    #[test]
    fn addresses_of_one_home_count_as_one() {
        let network = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
    }
}
