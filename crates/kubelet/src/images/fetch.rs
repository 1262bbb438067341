//! Gets an image's own files onto this machine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oci::{Architecture, Credential, OciError, Reference, Registry, Store, Unpacked};
use tokio::sync::Mutex;

/// An image that a container waits for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub reference: Reference,
    pub layout: Option<PathBuf>,
    /// Documents of the pod's pull secrets, with the Secret's name.
    pub secrets: Vec<(String, String)>,
}

/// An image that was got, and what that took.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub image: Unpacked,
    pub pulling: Duration,
    /// With the time for which another pull was waited for.
    pub whole: Duration,
}

/// Pulls take turns, as a kubelet's do by default (`serializeImagePulls`); layouts wait for nobody.
///
/// # Errors
/// Why there is no image, for the container's status.
pub(crate) async fn fetch(store: &Arc<Store>, wanted: &Wanted, turn: &Mutex<()>) -> Result<Fetched, String> {
    let whole = Instant::now();
    let architecture = Architecture::host()
        .ok_or_else(|| format!("no image is run on this machine's architecture, {}", std::env::consts::ARCH))?;
    if let Some(layout) = &wanted.layout {
        let image = store.import(layout, &wanted.reference, architecture).await.map_err(|error| error.whole())?;
        return Ok(Fetched { image, pulling: whole.elapsed(), whole: whole.elapsed() });
    }
    let _turn = turn.lock().await;
    let pulling = Instant::now();
    let credential = credential(wanted).map_err(|error| error.whole())?;
    let registry = Registry::new(&wanted.reference, credential).map_err(|error| error.whole())?;
    let image = store.pull(&registry, &wanted.reference, architecture).await.map_err(|error| error.whole())?;
    Ok(Fetched { image, pulling: pulling.elapsed(), whole: whole.elapsed() })
}

/// The pod's own before this machine's. Variables of the command line's own environment are for `marea image push` and
/// would go to every registry that a pod names.
fn credential(wanted: &Wanted) -> Result<Option<Credential>, OciError> {
    let registry = &wanted.reference.registry;
    for (name, document) in &wanted.secrets {
        if let Some(found) = Credential::in_document(document, registry, name)? {
            return Ok(Some(found));
        }
    }
    Credential::of_docker(registry)
}

/// To the millisecond, as Go prints a duration: `1.5s`, `12ms`, `2m3s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    if minutes == 0 && rest < 1000 {
        return format!("{rest}ms");
    }
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    if minutes == 0 { format!("{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let check = |millis: u64, expected: &str| assert_eq!(go_duration(Duration::from_millis(millis)), expected);
        check(0, "0ms");
        check(12, "12ms");
        check(1500, "1.5s");
        check(10_000, "10s");
        check(10_020, "10.02s");
        check(120_000, "2m0s");
        check(123_004, "2m3.004s");
    }

    #[test]
    fn a_pods_secret_is_for_its_registry_alone() {
        let secrets =
            vec![("regcred".to_owned(), r#"{"auths": {"r.example": {"username": "u", "password": "p"}}}"#.to_owned())];
        let of = |text: &str| {
            credential(&Wanted { reference: Reference::parse(text).unwrap(), layout: None, secrets: secrets.clone() })
                .unwrap()
        };
        assert!(of("r.example/a:1").is_some());
        assert_ne!(of("other.example/a:1"), of("r.example/a:1"));
    }
}
