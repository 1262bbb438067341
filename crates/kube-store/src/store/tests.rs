use serde_json::json;

use super::*;

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new("pods", Some(namespace), name)
}

fn pod(name: &str, mark: u64) -> Value {
    json!({"metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"mark": mark.to_string()}}})
}

fn filled(names: &[&str]) -> Store {
    let mut store = Store::new(0);
    for name in names {
        store.put(key("a", name), pod(name, 0), Precondition::Absent).unwrap();
    }
    store
}

fn names(page: &Page) -> Vec<&str> {
    page.items.iter().filter_map(|item| path::text(item, &["metadata", "name"])).collect()
}

#[track_caller]
fn check(result: Result<Change, StoreError>, expected: &str) {
    let actual = match result {
        Ok(change) => format!("{:?} {} at {}", change.kind, change.key, change.revision),
        Err(error) => error.to_string(),
    };
    assert_eq!(actual, expected);
}

#[test]
fn writes_and_preconditions() {
    let mut store = Store::new(100);
    let one = key("a", "one");
    check(store.put(one.clone(), pod("one", 0), Precondition::Absent), "Added pods \"one\" at 101");
    assert_eq!(path::text(&store.get(&one).unwrap(), &["metadata", "resourceVersion"]), Some("101"));
    check(store.put(one.clone(), pod("one", 1), Precondition::Absent), "pods \"one\" already exists");
    check(
        store.put(one.clone(), pod("one", 1), Precondition::ResourceVersion("101".into())),
        "Modified pods \"one\" at 102",
    );
    check(
        store.put(one.clone(), pod("one", 1), Precondition::ResourceVersion("101".into())),
        "Operation cannot be fulfilled on pods \"one\": the object has been modified; please apply your changes to the latest version and try again",
    );
    check(
        store.delete(&one, Precondition::Uid("other".into())),
        "Operation cannot be fulfilled on pods \"one\": Precondition failed: UID in precondition: other, UID in object meta: uid-one",
    );
    let identity = Precondition::Identity { uid: "uid-one".into(), resource_version: "102".into() };
    check(store.delete(&one, identity), "Deleted pods \"one\" at 103");
    check(store.delete(&one, Precondition::None), "pods \"one\" not found");
    check(store.put(one, pod("one", 1), Precondition::Uid("uid-one".into())), "pods \"one\" not found");
    assert_eq!(store.revision(), 103);
}

#[test]
fn the_log_tells_what_changed_since() {
    let mut store = filled(&["one", "two"]);
    store.put(ObjectKey::new("nodes", None, "n"), json!({}), Precondition::None).unwrap();
    store.put(key("b", "three"), pod("three", 0), Precondition::None).unwrap();
    store.delete(&key("a", "one"), Precondition::None).unwrap();

    let seen = |namespace, since| -> Vec<(u64, ChangeKind)> {
        let changes = store.changes_since("pods", namespace, since).unwrap();
        changes.iter().map(|change| (change.revision, change.kind)).collect()
    };
    assert_eq!(seen(None, 1), [(2, ChangeKind::Added), (4, ChangeKind::Added), (5, ChangeKind::Deleted)]);
    assert_eq!(seen(Some("a"), 2), [(5, ChangeKind::Deleted)]);
    assert_eq!(seen(None, 5), []);
    let deleted = &store.changes_since("pods", None, 4).unwrap()[0];
    assert_eq!(path::text(&deleted.object, &["metadata", "resourceVersion"]), Some("5"));
    assert_eq!(path::text(deleted.previous.as_ref().unwrap(), &["metadata", "resourceVersion"]), Some("1"));
}

#[test]
fn an_old_or_future_revision_is_expired() {
    let mut store = filled(&["one", "two", "three", "four"]).with_log_capacity(2);
    assert_eq!(store.changes_since("pods", None, 1), Err(StoreError::Expired { requested: 1, oldest: 2 }));
    assert_eq!(store.changes_since("pods", None, 2).unwrap().len(), 2);
    assert!(store.changes_since("pods", None, 9).is_err());
    // Another resource's log does not shrink with this one's.
    assert_eq!(store.changes_since("nodes", None, 0), Ok(Vec::new()));

    store = Store::restore([(key("a", "one"), Arc::new(pod("one", 0)))], 1_000);
    assert!(store.changes_since("pods", None, 4).is_err());
    check(store.put(key("a", "one"), pod("one", 1), Precondition::None), "Modified pods \"one\" at 1001");
    assert_eq!(store.count("pods", Some("a")), 1);
    assert_eq!(store.objects().count(), 1);
}

#[test]
fn pages_show_one_revision() {
    let mut store = filled(&["b", "d", "f", "h"]);
    let everything = Selector::default();
    let first = store.list("pods", Some("a"), &everything, Some(2), None).unwrap();
    assert_eq!((names(&first), first.remaining, first.revision), (vec!["b", "d"], Some(2), 4));

    store.delete(&key("a", "f"), Precondition::None).unwrap();
    store.put(key("a", "g"), pod("g", 0), Precondition::None).unwrap();
    store.put(key("a", "h"), pod("h", 7), Precondition::None).unwrap();
    let token = first.continue_token.as_deref();
    let second = store.list("pods", Some("a"), &everything, Some(2), token).unwrap();
    assert_eq!((names(&second), second.remaining, second.revision), (vec!["f", "h"], None, 4));
    assert_eq!(path::text(&second.items[1], &["metadata", "labels", "mark"]), Some("0"));
    assert_eq!(second.continue_token, None);

    let now = store.list("pods", None, &everything, None, None).unwrap();
    assert_eq!((names(&now), now.revision), (vec!["b", "d", "g", "h"], 7));
    let past = store.list_at("pods", None, &everything, None, 2).unwrap();
    assert_eq!(names(&past), ["b", "d"]);
    let marked = Selector::parse("mark=7", "").unwrap();
    assert_eq!(names(&store.list("pods", None, &marked, Some(1), None).unwrap()), ["h"]);

    let expired = store.clone().with_log_capacity(1).list("pods", Some("a"), &everything, Some(2), token);
    assert!(matches!(expired, Err(StoreError::Expired { .. })));
    for bad in ["", "x", "1", "1:", "x:a/b", ":/"] {
        assert!(
            matches!(store.list("pods", None, &everything, None, Some(bad)), Err(StoreError::BadContinue(_))),
            "{bad}"
        );
    }
}

#[test]
fn a_namespace_ends_where_the_next_begins() {
    let mut store = filled(&["x"]);
    store.put(key("aa", "y"), pod("y", 0), Precondition::None).unwrap();
    store.put(key("b", "z"), pod("z", 0), Precondition::None).unwrap();
    let list = |namespace| store.list("pods", namespace, &Selector::default(), None, None).unwrap();
    assert_eq!(names(&list(Some("a"))), ["x"]);
    assert_eq!(names(&list(Some("aa"))), ["y"]);
    assert_eq!(names(&list(Some("c"))), Vec::<&str>::new());
    assert_eq!(names(&list(None)), ["x", "y", "z"]);
}
