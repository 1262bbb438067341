//! Azure Resource Manager's own throttling: token buckets per subscription and principal ("Understand how Azure Resource Manager
//! throttles requests", since 2024), told in headers with every answer.

use std::collections::BTreeMap;

use arm_engine::{Fault, Method, Response};
use parking_lot::Mutex;
use units::{Millis, Timestamp};

/// Sizes in requests, refills in requests per second.
struct Rates {
    header: &'static str,
    size: u64,
    per_second: u64,
}

const READS: Rates = Rates { header: "reads", size: 250, per_second: 25 };
const WRITES: Rates = Rates { header: "writes", size: 200, per_second: 10 };
const DELETES: Rates = Rates { header: "deletes", size: 200, per_second: 10 };
/// All principals of a subscription together have this many times one's bucket.
const GLOBAL: u64 = 15;

fn rates(method: Method) -> &'static Rates {
    match method {
        Method::Get | Method::Head => &READS,
        Method::Delete => &DELETES,
        Method::Put | Method::Patch | Method::Post => &WRITES,
    }
}

/// Thousandths of a request, so that refills of milliseconds are not lost.
#[derive(Clone, Copy)]
struct Bucket {
    thousandths: u64,
    at: Timestamp,
}

impl Bucket {
    fn full(size: u64, now: Timestamp) -> Bucket {
        Bucket { thousandths: size * 1000, at: now }
    }

    /// Whole requests that are left after this one, or the milliseconds until there is one.
    fn take(&mut self, size: u64, per_second: u64, now: Timestamp) -> Result<u64, Millis> {
        let passed = u64::try_from((now - self.at).0).unwrap_or(0);
        self.thousandths = self.thousandths.saturating_add(passed.saturating_mul(per_second)).min(size * 1000);
        self.at = now;
        match self.thousandths.checked_sub(1000) {
            Some(rest) => {
                self.thousandths = rest;
                Ok(rest / 1000)
            }
            None => Err(Millis(i64::try_from((1000 - self.thousandths).div_ceil(per_second)).unwrap_or(i64::MAX))),
        }
    }
}

type Buckets = BTreeMap<(String, &'static str), Bucket>;

/// What is left for everybody who signed in.
pub(crate) struct Limits {
    buckets: Mutex<Buckets>,
    /// Without it the headers say how much is left, and nobody is sent away.
    enforced: bool,
}

/// What one request found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    kind: &'static str,
    remaining: u64,
    remaining_globally: u64,
    /// How long to wait, for a request that is not let through.
    wait: Option<Millis>,
}

impl Limits {
    pub fn new(enforced: bool) -> Limits {
        Limits { buckets: Mutex::default(), enforced }
    }

    pub fn take(&self, principal: &str, method: Method, now: Timestamp) -> Taken {
        let rates = rates(method);
        let mut buckets = self.buckets.lock();
        let mut take = |whose: &str, times: u64| {
            let (size, per_second) = (rates.size * times, rates.per_second * times);
            let bucket = buckets.entry((whose.to_owned(), rates.header)).or_insert_with(|| Bucket::full(size, now));
            bucket.take(size, per_second, now)
        };
        let (own, global) = (take(principal, 1), take("", GLOBAL));
        let wait = own.err().max(global.err()).filter(|_| self.enforced);
        Taken {
            kind: rates.header,
            remaining: own.unwrap_or_default(),
            remaining_globally: global.unwrap_or_default(),
            wait,
        }
    }
}

impl Taken {
    /// The answer to a request that comes too soon.
    pub fn refusal(&self) -> Option<Response> {
        let seconds = self.wait?.0.div_euclid(1000) + 1;
        let message = format!(
            "Number of '{}' for the subscription and principal exceeded the limit. Please try again after '{seconds}' seconds.",
            self.kind
        );
        Some(
            Response::from(Fault::new(429, "SubscriptionRequestsThrottled", message))
                .header("Retry-After", seconds.to_string()),
        )
    }

    pub fn tell(&self, answer: Response) -> Response {
        answer
            .header(&format!("x-ms-ratelimit-remaining-subscription-{}", self.kind), self.remaining.to_string())
            .header(
                &format!("x-ms-ratelimit-remaining-subscription-global-{}", self.kind),
                self.remaining_globally.to_string(),
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_790_000_000_000 + ms)
    }

    /// Differs (Azure Resource Manager): The buckets of the subscription and the principal count as Azure's do and are
    /// enforced with `--realistic` only; resource providers have no limits of their own.
    #[test]
    fn a_bucket_empties_and_fills_again_for_each_principal_and_kind() {
        let limits = Limits::new(true);
        for taken in 1..=200 {
            let found = limits.take("a", Method::Put, at(0));
            assert_eq!((found.remaining, found.wait), (200 - taken, None));
        }
        assert_eq!(limits.take("a", Method::Post, at(0)).wait, Some(Millis(100)), "ten a second come back");
        assert_eq!(limits.take("a", Method::Get, at(0)).remaining, 249, "reads have a bucket of their own");
        let other = limits.take("b", Method::Patch, at(0));
        assert_eq!((other.remaining, other.remaining_globally), (199, 3000 - 202));
        assert_eq!(limits.take("a", Method::Put, at(100)).wait, None);
        assert_eq!(limits.take("a", Method::Put, at(100_000)).remaining, 199);
        // A clock that goes back gives nothing.
        assert_eq!(limits.take("a", Method::Put, at(0)).remaining, 198);
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let limits = Limits::new(true);
        let found = (0..=250).map(|_| limits.take("a", Method::Get, at(0))).last().unwrap();
        let answer = found.tell(found.refusal().unwrap());
        let header = |name: &str| answer.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        assert_eq!((answer.status, header("Retry-After")), (429, Some("1")));
        assert_eq!(header("x-ms-ratelimit-remaining-subscription-reads"), Some("0"));
        let told = Limits::new(false);
        let found = (0..=250).map(|_| told.take("a", Method::Get, at(0))).last().unwrap();
        assert_eq!((found.remaining, found.refusal().is_none()), (0, true), "told, but let through");
    }
}
