//! The part of `docs/fidelity.md` that tests show: a test that shows a difference from upstream or Azure says so in its
//! documentation, `/// Differs (Area): what and why.`, and this collects them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const MARK: &str = "/// Differs (";
const BEGIN: &str = "<!-- differences: begin -->";
const END: &str = "<!-- differences: end -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() && !matches!(&*name, "target" | "node_modules" | ".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

struct Difference {
    area: String,
    text: String,
    test: String,
}

/// # Errors
/// Where a mark has no area or no test below it.
fn differences(source: &str) -> Result<Vec<Difference>, String> {
    let mut lines = source.lines().map(str::trim).enumerate().peekable();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let Some(rest) = line.strip_prefix(MARK) else { continue };
        let (area, text) = rest.split_once("): ").ok_or_else(|| format!("line {}: no area", number + 1))?;
        let mut text = text.to_owned();
        while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with("/// ") && !line.starts_with(MARK)) {
            text.push(' ');
            text.push_str(&more[4..]);
        }
        let below: Vec<&str> = lines.clone().map(|(_, line)| line).take_while(|line| !line.is_empty()).collect();
        let test = below
            .iter()
            .take_while(|line| line.starts_with("///") || line.starts_with("#["))
            .any(|line| line.contains("test"));
        let name = below.iter().find_map(|line| line.split_once("fn ")?.1.split(['(', '<']).next());
        let (true, Some(name)) = (test, name) else { return Err(format!("line {}: no test follows", number + 1)) };
        found.push(Difference { area: area.to_owned(), text, test: name.to_owned() });
    }
    Ok(found)
}

fn page() -> String {
    let root = root();
    let mut files = Vec::new();
    for folder in ["crates", "cli", "backend"] {
        sources(&root.join(folder), &mut files);
    }
    let mut areas: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files.iter().filter(|path| !path.ends_with(file!().rsplit('/').next().unwrap())) {
        let shown = path.strip_prefix(&root).unwrap().display();
        let found = differences(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{shown}, {error}"));
        for Difference { area, text, test } in found {
            areas.entry(area).or_default().push(format!("- {text}\n  (`{test}` in `{shown}`)\n"));
        }
    }
    areas.into_iter().map(|(area, list)| format!("\n### {area}\n{}", list.concat())).collect()
}

/// `MAREA_WRITE=1 cargo test -p testkit --test differences` writes it anew.
#[test]
fn the_page_lists_what_the_tests_show() {
    let path = root().join("docs/fidelity.md");
    let committed = fs::read_to_string(&path).unwrap();
    let (before, rest) = committed.split_once(BEGIN).expect("the page has the list's begin");
    let (_, after) = rest.split_once(END).expect("the page has the list's end");
    let wanted = format!("{before}{BEGIN}\n{}\n{END}{after}", page());
    if std::env::var_os("MAREA_WRITE").is_some() {
        fs::write(&path, wanted).unwrap();
        return;
    }
    assert!(
        wanted == committed,
        "docs/fidelity.md differs: run MAREA_WRITE=1 cargo test -p testkit --test differences"
    );
}

#[test]
fn a_mark_needs_an_area_and_a_test() {
    let found = differences("/// Differs (A): one,\n/// two.\n#[test]\nfn shows() {}\n").unwrap();
    assert_eq!((&*found[0].area, &*found[0].text, &*found[0].test), ("A", "one, two.", "shows"));
    assert!(differences("/// Differs (A) one\n#[test]\nfn shows() {}\n").is_err());
    assert!(differences("/// Differs (A): one\nfn helps() {}\n").is_err());
    assert!(differences("/// Differs (A): one\n\n#[test]\nfn shows() {}\n").is_err());
}
