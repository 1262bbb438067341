//! Ends a pod that has outgrown an emptyDir's limit (pkg/kubelet/eviction, `localStorageEviction` of Kubernetes 1.36).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;

use super::Worker;

/// How often upstream's eviction manager looks.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Of `st_blocks`, whatever the file system's own blocks are.
const BLOCK_BYTES: u64 = 512;

/// A volume with a limit: its name, where it is, and the limit in bytes and as the manifest has it.
type Limited = (String, PathBuf, u64, String);

impl Worker {
    /// When the limits are to be looked at next; none where there are none.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let has_limits = self.evicted.is_none() && !limited(&self.pod, &self.directories.volumes()).is_empty();
        has_limits.then_some(self.looked_at + LOOK_EVERY)
    }

    pub(super) async fn look_at_limits(&mut self) {
        self.looked_at = Instant::now();
        let volumes = limited(&self.pod, &self.directories.volumes());
        let exceeded =
            tokio::task::spawn_blocking(move || volumes.into_iter().find(|(_, path, limit, _)| size(path) > *limit));
        let Ok(Some((volume, _, _, limit))) = exceeded.await else { return };
        let message = format!("Usage of EmptyDir volume {volume:?} exceeds the limit {limit:?}. ");
        self.event(None, "Warning", "Evicted", &message);
        self.evicted = Some(message);
    }

    /// Nothing of it is given time, and nothing starts again.
    pub(super) fn evict(&mut self) {
        for index in 0..self.containers.len() {
            self.stop_for_good(index, 0);
        }
    }
}

fn limited(pod: &Pod, volumes: &Path) -> Vec<Limited> {
    let all = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let limited = all.filter_map(|volume| {
        let text = volume.empty_dir.as_ref()?.size_limit.as_ref()?.0.clone();
        let bytes = u64::try_from(text.parse::<units::Quantity>().ok()?.bytes().0).ok()?;
        (bytes > 0).then(|| (volume.name.clone(), volumes.join(&volume.name), bytes, text))
    });
    limited.collect()
}

/// What the files below take on disk. A link is itself alone, and what cannot be read takes nothing.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).fold(0, |sum, (path, metadata)| {
        let below = if metadata.is_dir() { size(&path) } else { 0 };
        sum.saturating_add(metadata.blocks().saturating_mul(BLOCK_BYTES)).saturating_add(below)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_limits_that_mean_something_are_kept() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [], "volumes": [
            {"name": "free", "emptyDir": {}},
            {"name": "none", "emptyDir": {"sizeLimit": "0"}},
            {"name": "small", "emptyDir": {"sizeLimit": "1Mi"}},
        ]}}))
        .unwrap();
        let found = limited(&pod, Path::new("/v"));
        assert_eq!(found, [("small".to_owned(), PathBuf::from("/v/small"), 1 << 20, "1Mi".to_owned())]);
    }

    #[test]
    fn sizes_are_of_what_is_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(size(folder.path()), 0);
        fs::create_dir(folder.path().join("d")).unwrap();
        fs::write(folder.path().join("d/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("all")).unwrap();
        fs::File::open(folder.path().join("d/file")).unwrap().sync_all().unwrap();
        let found = size(folder.path());
        assert!((100_000..300_000).contains(&found), "{found}");
    }
}
