//! Random operations, compared with a model that is too simple to be wrong: a list of revisions that is
//! always searched from end to end.

use std::{collections::BTreeMap, time::SystemTime};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Put(usize, Option<u64>, Wish),
    Delete(usize, Wish),
    Purge(usize, Option<u64>, Wish),
    Compact(usize, u64),
    Pass(u64),
    Read,
    History(u8),
    Age(Option<u64>),
}

/// The condition of a write, expressed so that it is often met.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Any,
    Absent,
    Last,
    Revision(u64),
}

#[derive(Clone, Debug)]
struct Revision {
    seq: u64,
    key: usize,
    operation: Operation,
    created: SystemTime,
    ttl: Option<Duration>,
}

struct Model {
    history: usize,
    age: Option<Duration>,
    markers: Option<Duration>,
    revisions: Vec<Revision>,
    last: u64,
    now: SystemTime,
}

impl Model {
    fn of(&self, key: usize) -> Vec<u64> {
        let of = self.revisions.iter().filter(|found| found.key == key);
        of.map(|found| found.seq).collect()
    }

    fn last_of(&self, key: usize) -> Option<&Revision> {
        self.revisions.iter().rfind(|found| found.key == key)
    }

    fn push(&mut self, key: usize, operation: Operation, ttl: Option<Duration>, at: SystemTime) {
        self.last += 1;
        let ttl = match self.markers {
            Some(least) if self.history != 1 => ttl.map(|ttl| ttl.max(least)),
            _ => ttl,
        };
        self.revisions.push(Revision {
            seq: self.last,
            key,
            operation,
            created: at,
            ttl,
        });
        if matches!(operation, Operation::Purge | Operation::Expire) {
            let last = self.last;
            self.revisions
                .retain(|found| found.key != key || found.seq == last);
        }
        self.trim();
    }

    fn trim(&mut self) {
        for key in 0..KEYS.len() {
            let of = self.of(key);
            let drop = of.len().saturating_sub(self.history);
            let dropped = &of[..drop];
            self.revisions.retain(|found| !dropped.contains(&found.seq));
        }
    }

    fn pass(&mut self, now: SystemTime) {
        self.now = now;
        loop {
            let age = self.age;
            let due = |found: &Revision| {
                let lives = [found.ttl, age].into_iter().flatten().min()?;
                Some((found.created + lives, found.seq))
            };
            let next = self.revisions.iter().filter_map(due).min();
            let Some((at, seq)) = next.filter(|(at, _)| *at <= now) else {
                return;
            };
            let index = self.revisions.iter().position(|found| found.seq == seq);
            let gone = self.revisions.remove(index.unwrap());
            let marker = matches!(gone.operation, Operation::Purge | Operation::Expire);
            if self.markers.is_some() && !marker && self.of(gone.key).is_empty() {
                self.push(gone.key, Operation::Expire, self.markers, at);
            }
        }
    }
}

const KEYS: [&str; 3] = ["a", "b.x", "b.y"];

fn op() -> impl Strategy<Value = Op> {
    let key = 0..KEYS.len();
    let ttl = || proptest::option::of(1..5u64);
    let wish = || {
        prop_oneof![
            3 => Just(Wish::Any),
            2 => Just(Wish::Absent),
            2 => Just(Wish::Last),
            1 => (0..20u64).prop_map(Wish::Revision),
        ]
    };
    prop_oneof![
        6 => (key.clone(), ttl(), wish()).prop_map(|(key, ttl, wish)| Op::Put(key, ttl, wish)),
        2 => (key.clone(), wish()).prop_map(|(key, wish)| Op::Delete(key, wish)),
        2 => (key.clone(), ttl(), wish()).prop_map(|(key, ttl, wish)| Op::Purge(key, ttl, wish)),
        1 => (key, 0..30u64).prop_map(|(key, before)| Op::Compact(key, before)),
        4 => (0..4u64).prop_map(Op::Pass),
        2 => Just(Op::Read),
        1 => (1..4u8).prop_map(Op::History),
        1 => proptest::option::of(1..8u64).prop_map(Op::Age),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_bucket_behaves_like_the_model(
        ops in proptest::collection::vec(op(), 1..60),
        history in prop_oneof![Just(1), 1..4u8],
        steady: bool,
        age in proptest::option::of(2..9u64),
        markers in proptest::option::of(1..4u64),
    ) {
        run(&ops, steady, history, age.map(Duration::from_secs), markers.map(Duration::from_secs));
    }
}

/// A watch, and what its reader believes to be the last revision of each key.
struct Reader {
    watch: RawWatch,
    believed: BTreeMap<Key, (u64, Operation)>,
    last: u64,
}

impl Reader {
    fn read(&mut self) {
        while let Some(Some(event)) = self.watch.next().now_or_never() {
            if let WatchEvent::Entry(entry) = event.unwrap() {
                assert!(entry.revision > self.last, "in order, and nothing twice");
                self.last = entry.revision;
                self.believed
                    .insert(entry.key, (entry.revision, entry.operation));
            }
        }
    }

    /// Returns the keys that have a value, as far as this reader knows.
    fn values(&self) -> BTreeMap<String, u64> {
        let values = self.believed.iter();
        let values = values.filter(|(_, (_, operation))| !operation.is_removal());
        values
            .map(|(key, (revision, _))| (key.to_string(), *revision))
            .collect()
    }
}

/// `steady` omits operations that watches cannot see, so that the readers' beliefs can be checked.
fn run(ops: &[Op], steady: bool, history: u8, age: Option<Duration>, markers: Option<Duration>) {
    let fixture = with(|config| {
        config.history = history;
        config.max_age = age;
        config.limit_markers = markers.map_or(LimitMarkers::Off, LimitMarkers::For);
    });
    let mut config = now(fixture.bucket.status()).unwrap().config;
    let mut model = Model {
        history: history.into(),
        age,
        markers,
        revisions: Vec::new(),
        last: 0,
        now: fixture.clock.now(),
    };
    let mut readers = [&[">"][..], &["b.*", "a"], &["a", "b.x", "b.y"]].map(|filters| Reader {
        watch: fixture.watch(filters, Deliver::Latest, false),
        believed: BTreeMap::new(),
        last: 0,
    });
    // Removals without a marker, or of a revision on top of an older one, are invisible to watches.
    let mut visible = history == 1 && markers.is_some();
    for op in ops {
        match op {
            Op::Put(key, ttl, wish) => {
                let ttl = ttl.map(Duration::from_secs);
                write(&fixture, &mut model, *key, Operation::Put, ttl, *wish);
            }
            Op::Delete(key, wish) => {
                write(&fixture, &mut model, *key, Operation::Delete, None, *wish);
            }
            Op::Purge(key, ttl, wish) => {
                let ttl = ttl.map(Duration::from_secs);
                write(&fixture, &mut model, *key, Operation::Purge, ttl, *wish);
            }
            Op::Compact(key, before) => {
                let last = model.last_of(*key);
                if steady && last.is_some_and(|last| !last.operation.is_removal()) {
                    continue;
                }
                now(fixture.bucket.compact(&self::key(KEYS[*key]), *before)).unwrap();
                let value = model.last_of(*key).filter(|last| last.seq < *before);
                visible &= value.is_none_or(|last| last.operation.is_removal());
                model
                    .revisions
                    .retain(|found| found.key != *key || found.seq >= *before);
            }
            Op::Pass(seconds) => {
                fixture.clock.advance(Duration::from_secs(*seconds));
                model.pass(fixture.clock.now());
            }
            Op::Read => readers.iter_mut().for_each(Reader::read),
            Op::History(_) if steady => {}
            Op::History(history) => {
                config.history = *history;
                visible &= *history == 1;
                model.history = (*history).into();
                model.trim();
                now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
            }
            Op::Age(age) => {
                config.max_age = age.map(Duration::from_secs);
                model.age = config.max_age;
                now(fixture.buckets.create(&config, CreateMode::CreateOrUpdate)).unwrap();
                model.pass(fixture.clock.now());
            }
        }
        compare(&fixture, &model);
    }
    readers.iter_mut().for_each(Reader::read);
    if visible {
        let values: BTreeMap<_, _> = (0..KEYS.len())
            .filter_map(|key| model.last_of(key))
            .filter(|last| !last.operation.is_removal())
            .map(|last| (KEYS[last.key].to_owned(), last.seq))
            .collect();
        for reader in &readers {
            assert_eq!(reader.values(), values);
        }
    }
}

fn write(
    fixture: &Fixture,
    model: &mut Model,
    key: usize,
    operation: Operation,
    ttl: Option<Duration>,
    wish: Wish,
) {
    let last = model.last_of(key).map_or(0, |last| last.seq);
    let value = model
        .last_of(key)
        .is_some_and(|last| !last.operation.is_removal());
    let (expect, holds) = match wish {
        Wish::Absent if operation == Operation::Put => (Expect::Absent, !value),
        Wish::Any | Wish::Absent => (Expect::Any, true),
        Wish::Last => (Expect::Revision(last), true),
        Wish::Revision(revision) => (Expect::Revision(revision), revision == last),
    };
    let result = match operation {
        Operation::Put => {
            let mut options = PutOptions::new().expect(expect);
            options.ttl = ttl;
            fixture.put_with(KEYS[key], "value", options)
        }
        operation => {
            let mut options = match operation {
                Operation::Delete => RemoveOptions::delete().expect(expect),
                _ => RemoveOptions::purge().expect(expect),
            };
            options.marker_ttl = ttl;
            fixture.remove(KEYS[key], options)
        }
    };
    match result {
        Ok(revision) => {
            assert!(holds && (ttl.is_none() || model.markers.is_some()));
            model.push(key, operation, ttl, model.now);
            assert_eq!(revision, model.last);
            // A revision can expire at once if the bucket's age has passed between two checks.
            model.pass(model.now);
        }
        Err(KvWriteError::Conflict(conflict)) => {
            assert!(!holds);
            assert_eq!((conflict.expected, conflict.actual), (expect, Some(last)));
        }
        Err(KvWriteError::Service(ServiceError::Unsupported { .. })) => {
            assert!(ttl.is_some() && model.markers.is_none());
        }
        Err(error) => panic!("{error}"),
    }
}

fn compare(fixture: &Fixture, model: &Model) {
    let seqs = |watch: &mut RawWatch| -> Vec<(u64, Operation)> {
        let mut seen = Vec::new();
        while let Some(Some(event)) = watch.next().now_or_never() {
            if let WatchEvent::Entry(entry) = event.unwrap() {
                seen.push((entry.revision, entry.operation));
            }
        }
        seen
    };
    let all: Vec<_> = model
        .revisions
        .iter()
        .map(|found| (found.seq, found.operation))
        .collect();
    let history = seqs(&mut fixture.watch(&[">"], Deliver::History, true));
    assert_eq!(history, all);
    for (index, name) in KEYS.iter().enumerate() {
        let of = model.of(index);
        let one = seqs(&mut fixture.watch(&[*name], Deliver::History, true));
        let one: Vec<_> = one.into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(one, of);
        let last = fixture.last(name).map(|entry| entry.revision);
        assert_eq!(last, of.last().copied());
        for seq in 1..=model.last {
            let found = fixture.at(name, seq).is_some();
            assert_eq!(found, of.contains(&seq));
        }
    }
    let mut latest: Vec<_> = (0..KEYS.len())
        .filter_map(|key| model.last_of(key).map(|last| (last.seq, last.operation)))
        .collect();
    latest.sort_unstable_by_key(|(seq, _)| *seq);
    let mut watch = fixture.watch(&[">"], Deliver::Latest, true);
    let mut left = latest.len() as u64;
    while let Some(Ok(WatchEvent::Entry(entry))) = now(watch.next()) {
        left -= 1;
        assert_eq!(entry.delta, left);
    }
    assert_eq!(left, 0);
    assert_eq!(
        seqs(&mut fixture.watch(&[">"], Deliver::Latest, true)),
        latest
    );
    let status = now(fixture.bucket.status()).unwrap();
    assert_eq!(status.values, model.revisions.len() as u64);
    assert_eq!(status.keys, latest.len() as u64);
    assert_eq!(status.last_revision, model.last);
    assert_eq!(status.bytes == 0, model.revisions.is_empty());
}
