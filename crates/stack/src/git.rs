//! The commit that a deployment is tagged with, and the commits between two deployments.

use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;

use crate::dora::Commit;

/// The checked-out commit of the repository that holds `folder`, read from its files: starting a `git` process would
/// take longer than an unchanged `up`. `None` outside a repository and before the first commit.
pub fn commit(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let git = folder.ancestors().map(|ancestor| ancestor.join(".git")).find(|git| git.exists())?;
    // A work tree beside the repository has a file that points to its folder.
    let git = match std::fs::read_to_string(&git) {
        Ok(pointer) => git.parent()?.join(pointer.strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return hash(&head) };
    let common =
        std::fs::read_to_string(git.join("commondir")).map_or_else(|_| git.clone(), |path| git.join(path.trim()));
    if let Ok(text) =
        std::fs::read_to_string(git.join(reference)).or_else(|_| std::fs::read_to_string(common.join(reference)))
    {
        return hash(&text);
    }
    let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    packed
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(_, name)| *name == reference).and_then(|(id, _)| hash(id)))
}

/// The commits that `now` holds and `before` does not; without `before` only `now` itself. Asks `git`, which must be installed.
/// `None` when it does not know them, as in a shallow clone.
pub fn commits_between(folder: &Path, before: Option<&str>, now: &str) -> Option<Vec<Commit>> {
    let (before, now) = (before.map(hash), hash(now)?);
    let range = match before {
        Some(before) => vec![format!("{}..{now}", before?)],
        None => vec!["--max-count=1".to_owned(), now],
    };
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["log", "--format=%H %ct"])
        .args(range)
        .arg("--")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .map(|line| {
            let (id, seconds) = line.split_once(' ')?;
            let at = Timestamp::from_second(seconds.parse().ok()?).ok()?;
            Some(Commit { id: id.to_owned(), at })
        })
        .collect()
}

fn hash(text: &str) -> Option<String> {
    let text = text.trim();
    (text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], expected: Option<&str>) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let inside = folder.path().join("stack");
        std::fs::create_dir_all(&inside).unwrap();
        assert_eq!(commit(&inside).as_deref(), expected);
    }

    #[test]
    fn reads_loose_packed_and_detached_heads() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        check(&[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", &format!("{id}\n"))], Some(id));
        check(
            &[
                (".git/HEAD", "ref: refs/heads/main\n"),
                (".git/packed-refs", &format!("# pack-refs\n{id} refs/heads/main\n")),
            ],
            Some(id),
        );
        check(&[(".git/HEAD", &format!("{id}\n"))], Some(id));
        check(&[(".git/HEAD", "ref: refs/heads/main\n")], None);
    }
}
