use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

#[path = "../../testkit/src/storage.rs"]
mod storage;
use storage::{FaultyStorage, Random};

const SEEDS: u64 = 1000;
const BATCHES: usize = 6;

type Rows = BTreeMap<(String, String), Value>;

fn open(storage: &FaultyStorage) -> Result<(Committer, Vec<Record>), Failure> {
    let storage = storage.clone();
    let seal = Seal::derived_from(&[7; 32]).unwrap();
    Committer::over(Box::new(move || Ok(Database::builder().create_with_backend(storage.clone())?)), seal)
}

fn rows(records: Vec<Record>) -> Rows {
    records.into_iter().filter_map(|record| Some(((record.table, record.key), record.value?))).collect()
}

fn records(random: &mut Random) -> Vec<Record> {
    let record = |random: &mut Random| Record {
        table: "resources".to_owned(),
        key: format!("r{}", random.below(6)),
        value: (random.below(4) > 0).then(|| json!({"n": random.next(), "v": "x".repeat(1 << random.below(11))})),
    };
    (0..1 + random.below(3)).map(|_| record(random)).collect()
}

fn apply(rows: &mut Rows, records: &[Record]) {
    for record in records {
        let key = (record.table.clone(), record.key.clone());
        match &record.value {
            Some(value) => rows.insert(key, value.clone()),
            None => rows.remove(&key),
        };
    }
}

fn close(mut committer: Committer) {
    committer.close().expect("a thread").join().expect("no panic");
}

/// Batches until the power is cut, with a full disk and failing syncs on the way. What is found then is the state after
/// some batch, and not an older one than the last that was acknowledged.
fn survive(seed: u64, image: &[u8]) {
    let random = &mut Random(seed);
    let storage = FaultyStorage::holding(image.to_vec());
    let (committer, found) = open(&storage).expect("it opens");
    let mut states = vec![rows(found)];
    storage.cut_power_after(random.next() % 80);
    for _ in 0..BATCHES {
        match random.below(8) {
            0 => storage.fill(),
            1 => storage.fail_syncs(1),
            _ => storage.limit(None),
        }
        let records = records(random);
        let mut after = states.last().expect("a state").clone();
        apply(&mut after, &records);
        let acknowledged = committer.submit(records).blocking_recv().expect("an answer").is_ok();
        if acknowledged {
            states.clear();
        }
        states.push(after);
    }
    close(committer);
    let left = storage.after_power_loss(random);
    let (committer, found) = open(&left).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert!(
        states.contains(&rows(found)),
        "seed {seed}: something that was acknowledged is missing, or half a batch is there"
    );
    close(committer);
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_is_cut() {
    let storage = FaultyStorage::default();
    close(open(&storage).expect("it opens").0);
    let image = storage.durable();
    std::thread::scope(|scope| {
        for part in 0..2 {
            let image = &image;
            scope.spawn(move || (part..SEEDS).step_by(2).for_each(|seed| survive(seed, image)));
        }
    });
}

#[test]
fn writes_go_on_when_there_is_space_again() {
    let storage = FaultyStorage::default();
    let (committer, _) = open(&storage).expect("it opens");
    let one = |key: &str, bytes: usize| {
        vec![Record { table: "resources".to_owned(), key: key.to_owned(), value: Some(json!("x".repeat(bytes))) }]
    };
    let submit = |key: &str, bytes: usize| committer.submit(one(key, bytes)).blocking_recv().expect("an answer");
    submit("first", 10).expect("stored");
    storage.fill();
    let refused = (0..100).find_map(|n| submit(&format!("r{n}"), 200_000).err()).expect("the disk is full at last");
    assert!(refused.contains("storage") || refused.contains("space"), "{refused}");
    storage.limit(None);
    submit("last", 10).expect("stored");
    close(committer);
    let found = rows(open(&storage).expect("it opens").1);
    assert!(found.keys().any(|(_, key)| key == "first") && found.keys().any(|(_, key)| key == "last"));
}
