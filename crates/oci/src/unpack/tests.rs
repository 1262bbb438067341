//! Layers that are well made, and layers that are not.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::Header;

use super::*;

/// An entry: its path, what it is, and content or target.
type Item<'a> = (&'a str, char, &'a str);

const ROOMY: Limit = Limit { bytes: 1 << 20, entries: 100 };

/// As it is written, without the writer's own checks.
fn header(path: &str, kind: char, target: &str, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(match kind {
        'd' => EntryType::Directory,
        's' => EntryType::Symlink,
        'h' => EntryType::Link,
        'c' => EntryType::Char,
        'p' => EntryType::Fifo,
        'x' => EntryType::XHeader,
        '?' => EntryType::new(b'Z'),
        _ => EntryType::Regular,
    });
    header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
    header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header.set_mode(if kind == 'u' { 0o6755 } else { 0o640 });
    header.set_size(size as u64);
    header.set_mtime(1_000_000_000);
    header.set_cksum();
    header
}

fn archive(items: &[Item<'_>]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, kind, text) in items {
        let (target, content) = if matches!(kind, 's' | 'h') { (*text, "") } else { ("", *text) };
        archive.append(&header(path, *kind, target, content.len()), content.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn source(folder: &Path, plain: &[u8]) -> Source {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    let packed = encoder.finish().unwrap();
    let descriptor = Descriptor::of(crate::layer::LAYER_TYPE, &packed);
    let path = folder.join(descriptor.digest.hex());
    std::fs::write(&path, packed).unwrap();
    Source { path, descriptor, diff_id: Digest::of(plain) }
}

/// What is there by path: content, `-> target` or `/`.
fn list(root: &Path, inside: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(root.join(inside)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{inside}{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        let text = if kind.is_symlink() {
            format!("-> {}", std::fs::read_link(entry.path()).unwrap().display())
        } else if kind.is_dir() {
            list(root, &format!("{path}/"), found);
            "/".to_owned()
        } else {
            std::fs::read_to_string(entry.path()).unwrap()
        };
        found.insert(path, text);
    }
}

/// Two folders: the root, and a neighbour that nothing may reach.
fn check(layers: &[&[Item<'_>]], expected: Result<&[(&str, &str)], &str>) {
    check_within(ROOMY, layers, expected);
}

fn check_within(limit: Limit, layers: &[&[Item<'_>]], expected: Result<&[(&str, &str)], &str>) {
    let folder = tempfile::tempdir().unwrap();
    let [root, blobs, outside] = ["root", "blobs", "outside"].map(|name| folder.path().join(name));
    for path in [&root, &blobs, &outside] {
        std::fs::create_dir(path).unwrap();
    }
    std::fs::write(outside.join("precious"), "1").unwrap();
    let sources: Vec<Source> = layers.iter().map(|items| source(&blobs, &archive(items))).collect();
    let outcome = unpack(&sources, &root, limit).map_err(|error| error.to_string());
    let mut found = BTreeMap::new();
    list(&outside, "", &mut found);
    assert_eq!(found, BTreeMap::from([("precious".to_owned(), "1".to_owned())]), "nothing outside is touched");
    match (outcome, expected) {
        (Ok(()), Ok(expected)) => {
            let mut found = BTreeMap::new();
            list(&root, "", &mut found);
            let expected = expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
            assert_eq!(found, expected, "{layers:?}");
        }
        (Err(error), Err(part)) => assert!(error.contains(part), "`{error}` does not say `{part}`"),
        (found, expected) => panic!("{found:?} instead of {expected:?} for {layers:?}"),
    }
}

#[test]
fn layers_lie_over_one_another() {
    check(
        &[
            &[
                ("./", 'd', ""),
                ("etc/", 'd', ""),
                ("etc/a", 'f', "1"),
                ("/etc/b", 'f', "2"),
                ("bin", 's', "usr/bin"),
                ("usr/bin/", 'd', ""),
            ],
            &[("etc/a", 'f', "3"), ("bin/tool", 'f', "t"), ("./deep/in/it", 'f', "4")],
        ],
        Ok(&[
            ("bin", "-> usr/bin"),
            ("deep", "/"),
            ("deep/in", "/"),
            ("deep/in/it", "4"),
            ("etc", "/"),
            ("etc/a", "3"),
            ("etc/b", "2"),
            ("usr", "/"),
            ("usr/bin", "/"),
            ("usr/bin/tool", "t"),
        ]),
    );
    // Kinds give way to one another.
    check(&[&[("a/b", 'f', "1"), ("c", 'f', "2")], &[("a", 'f', "3"), ("c/", 'd', "")]], Ok(&[("a", "3"), ("c", "/")]));
}

#[test]
fn whiteouts_hide_what_lower_layers_have_and_nothing_of_their_own() {
    let lower: &[Item<'_>] = &[("d/a", 'f', "1"), ("d/e/b", 'f', "2"), ("f", 'f', "3")];
    check(
        &[lower, &[("d/.wh.a", 'f', ""), (".wh.f", 'f', ""), (".wh.never", 'f', "")]],
        Ok(&[("d", "/"), ("d/e", "/"), ("d/e/b", "2")]),
    );
    check(&[lower, &[(".wh.d", 'f', "")]], Ok(&[("f", "3")]));
    for opaque_last in [false, true] {
        let mut upper: Vec<Item<'_>> = vec![("d/new", 'f', "4"), ("d/e/", 'd', "")];
        upper.insert(if opaque_last { 2 } else { 0 }, ("d/.wh..wh..opq", 'f', ""));
        check(&[lower, &upper], Ok(&[("d", "/"), ("d/e", "/"), ("d/new", "4"), ("f", "3")]));
    }
    check(
        &[lower, &[("f", 'f', "new"), (".wh.f", 'f', "")]],
        Ok(&[("d", "/"), ("d/a", "1"), ("d/e", "/"), ("d/e/b", "2"), ("f", "new")]),
    );
    check(&[&[(".wh..wh.plnk", 'f', ""), ("a", 'f', "1")]], Ok(&[("a", "1")]));
    check(&[lower, &[(".wh...", 'f', "")]], Err("names no file"));
    check(&[lower, &[("d/.wh.", 'f', "")]], Err("names no file"));
}

#[test]
fn links_are_kept_and_followed_inside_alone() {
    check(
        &[&[("a", 'f', "1"), ("b", 'h', "a"), ("c", 's', "/outside"), ("d", 's', "../../../etc"), ("e", 'h', "./c")]],
        Ok(&[("a", "1"), ("b", "1"), ("c", "-> /outside"), ("d", "-> ../../../etc"), ("e", "-> /outside")]),
    );
    // A link upwards ends at the image's root, as it would in a container.
    check(
        &[&[("out/", 'd', ""), ("up", 's', "../../out"), ("up/file", 'f', "1")]],
        Ok(&[("out", "/"), ("out/file", "1"), ("up", "-> ../../out")]),
    );
    // Over a link, not through it.
    check(&[&[("a", 's', "/outside/precious"), ("a", 'f', "1")]], Ok(&[("a", "1")]));
    check(&[&[("a", 's', "../outside"), ("a/", 'd', "")]], Ok(&[("a", "/")]));
    check(&[&[("a", 's', "../outside"), ("a/precious", 'f', "2")]], Err("a/precious"));
    check(&[&[("a", 's', "a"), ("a/b", 'f', "2")]], Err("a/b"));
    check(&[&[("a", 's', "../outside"), (".wh.a", 'f', "")]], Ok(&[("a", "-> ../outside")]));
    check(&[&[("b", 'h', "nothing")]], Err("b:"));
    check(&[&[("b", 'h', "../outside/precious")]], Err("goes upwards"));
    check(&[&[("d", 's', "../outside"), ("b", 'h', "d/precious")]], Err("b:"));
    check(&[&[("d/", 'd', ""), ("b", 'h', "d")]], Err("b:"));
}

#[test]
fn hostile_archives_are_refused() {
    check(&[&[("../outside/x", 'f', "1")]], Err("goes upwards"));
    check(&[&[("a/../../outside/x", 'f', "1")]], Err("goes upwards"));
    check(&[&[("/../outside/x", 'f', "1")]], Err("goes upwards"));
    check(&[&[("a", '?', "")]], Err("not known"));
    // Whatever is a device or a pipe is left out.
    check(&[&[("null", 'c', ""), ("pipe", 'p', ""), ("a", 'f', "1")]], Ok(&[("a", "1")]));
    let few = Limit { bytes: 10, entries: 2 };
    check_within(few, &[&[("a", 'f', "12345"), ("b", 'f', "12345")]], Ok(&[("a", "12345"), ("b", "12345")]));
    check_within(few, &[&[("a", 'f', "12345")], &[("a", 'f', "123456")]], Err("more bytes"));
    check_within(few, &[&[("a", 'f', ""), ("b", 'f', "")], &[("c", 'f', "")]], Err("more files"));
    // A header that would be read into memory.
    let long = "x".repeat(3 << 20);
    check(&[&[("name", 'x', &long), ("a", 'f', "1")]], Err("more bytes than are read"));
    let deep = "d/".repeat(40);
    let mut items: Vec<Item<'_>> = vec![("l0", 's', ".")];
    let names: Vec<String> = (0..12).flat_map(|at| [format!("l{at}/{deep}"), format!("l{}", at + 1)]).collect();
    let targets: Vec<String> = (0..12).map(|at| format!("l{at}/{deep}")).collect();
    for at in 0..12 {
        items.push((&names[2 * at], 'd', ""));
        items.push((&names[2 * at + 1], 's', &targets[at]));
    }
    check(&[&items], Err("deeper than"));
}

#[test]
fn modes_and_times_are_kept_as_far_as_one_user_can() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let items: &[Item<'_>] = &[("a", 'f', "1"), ("sudo", 'u', "2"), ("d/", 'd', "")];
    unpack(&[source(folder.path(), &archive(items))], &root, ROOMY).unwrap();
    let seen = |name: &str| std::fs::symlink_metadata(root.join(name)).unwrap();
    assert_eq!(seen("a").permissions().mode() & 0o7777, 0o640);
    assert_eq!(seen("a").mtime(), 1_000_000_000);
    assert_eq!(seen("sudo").permissions().mode() & 0o7777, 0o755, "it runs as nobody else");
    assert_eq!(seen("d").permissions().mode() & 0o7777, 0o740, "its owner can look inside");
}

#[test]
fn content_is_what_its_digests_say() {
    let folder = tempfile::tempdir().unwrap();
    let plain = archive(&[("a", 'f', "1")]);
    let good = || source(folder.path(), &plain);
    let refused = |source: Source| {
        let root = tempfile::tempdir_in(folder.path()).unwrap();
        unpack(&[source], root.path(), ROOMY).unwrap_err()
    };
    let error = refused(Source { diff_id: Digest::of(b"other"), ..good() });
    assert!(matches!(error, OciError::Digest { .. }), "{error}");
    let mut swapped = good();
    swapped.descriptor.digest = Digest::of(b"other");
    assert!(matches!(refused(swapped), OciError::Digest { .. }));
    let mut odd = good();
    odd.descriptor.media_type = "application/vnd.oci.image.layer.v1.tar+zstd".into();
    assert!(refused(odd).to_string().contains("only tar and tar+gzip"));
    let cut = good();
    let bytes = std::fs::read(&cut.path).unwrap();
    std::fs::write(&cut.path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(matches!(refused(cut), OciError::Layer { .. }));
}
