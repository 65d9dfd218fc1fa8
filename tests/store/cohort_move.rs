//! Entities brought under their cohort's key and back: values and TTLs kept, nothing lost on the way.

use std::collections::BTreeMap;

use slotwise::FeatureStore;
use slotwise::model::EntityId;
use slotwise::shard::Reply;
use slotwise::store::{EntityOptions, MoveDirection, MoveOutcome, MoveReport};

use crate::support::features::{Oracle, cohort, id, ids, kind, store};
use crate::support::{shared_cluster, unique_prefix};

/// Everything at a key: key expiry, and per field its value and expiry, in milliseconds since 1970.
async fn everything(oracle: &Oracle, key: &str) -> (i64, BTreeMap<String, (String, i64)>) {
    let key_expiry = oracle.number(&format!("PEXPIRETIME {key}")).await;
    let mut fields = BTreeMap::new();
    for name in oracle.say(&format!("HKEYS {key}")).await.into_array().unwrap() {
        let name = name.as_str().unwrap().to_owned();
        let value = oracle.hget(key.as_bytes(), name.as_bytes()).await.unwrap();
        let asked = [b"HPEXPIRETIME", key.as_bytes(), b"FIELDS", b"1", name.as_bytes()];
        let expiry = oracle.call(&asked).await.into_array().unwrap()[0].as_i64().unwrap();
        fields.insert(name, (String::from_utf8(value).unwrap(), expiry));
    }
    (key_expiry, fields)
}

struct Scene {
    oracle: Oracle,
    store: FeatureStore,
    prefix: String,
}

impl Scene {
    async fn new(members: Vec<EntityId>) -> Self {
        let (cluster, prefix) = (shared_cluster().await, unique_prefix());
        let vip = cohort("vip", &["vip"], members);
        let store = store(cluster, EntityOptions { cohorts: vec![vip], ..kind(&prefix) }).await;
        Self { oracle: Oracle::of(cluster).await, store, prefix }
    }

    fn plain(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn tagged(&self, name: &str) -> String {
        format!("{}{{vip}}:{name}", self.prefix)
    }

    async fn exists(&self, key: &str) -> bool {
        self.oracle.number(&format!("EXISTS {key}")).await == 1
    }

    async fn go(&self, direction: MoveDirection) -> (MoveReport, BTreeMap<String, MoveOutcome>) {
        let mut heard = BTreeMap::new();
        let note = |id: &EntityId, outcome: &MoveOutcome| {
            assert!(heard.insert(id.to_string(), outcome.clone()).is_none(), "{id} is heard of once");
        };
        let report = self.store.move_cohort("vip", direction, note).await.unwrap();
        (report, heard)
    }
}

#[tokio::test]
async fn values_and_ttls_survive_the_way_into_the_cohort_and_back_to_the_millisecond() {
    let scene = Scene::new(ids("m", 0..40)).await;
    let mut before = Vec::new();
    for n in 0..39 {
        let key = scene.plain(&format!("m{n}"));
        scene.oracle.say(&format!("HSET {key} batch {n} other x stream y")).await;
        if n % 3 != 0 {
            scene.oracle.say(&format!("PEXPIRE {key} {}", 900_000 + n * 1_001)).await;
        }
        if n % 2 == 0 {
            scene.oracle.say(&format!("HPEXPIRE {key} {} FIELDS 1 stream", 300_000 + n * 7)).await;
        }
        before.push(everything(&scene.oracle, &key).await);
    }
    // m39 is nowhere.
    use MoveDirection::{IntoCohort, OutOfCohort};
    let (moved, there) = (
        MoveReport { moved: 39, absent: 1, ..MoveReport::default() },
        MoveReport { already_there: 39, absent: 1, ..MoveReport::default() },
    );
    for (direction, expected) in [
        (IntoCohort, moved),
        (IntoCohort, there),
        (OutOfCohort, moved),
        (OutOfCohort, there),
        (IntoCohort, moved),
    ] {
        let (report, heard) = scene.go(direction).await;
        assert_eq!(report, expected, "{direction:?}");
        assert_eq!((heard.len(), &heard["m39"]), (40, &MoveOutcome::Absent));
        for (n, before) in before.iter().enumerate() {
            let (plain, tagged) = (scene.plain(&format!("m{n}")), scene.tagged(&format!("m{n}")));
            let (here, gone) = if direction == IntoCohort { (tagged, plain) } else { (plain, tagged) };
            assert!(!scene.exists(&gone).await, "{gone}");
            assert_eq!(everything(&scene.oracle, &here).await, *before, "{here}");
        }
    }
    let error = scene.store.move_cohort("nope", IntoCohort, |_, _| {}).await.unwrap_err();
    assert!(error.to_string().contains("nope") && error.to_string().contains("vip"), "{error}");
}

#[tokio::test]
async fn a_move_that_stopped_in_the_middle_goes_on_and_loses_nothing() {
    let scene = Scene::new(ids("m", 0..2)).await;
    let (plain, tagged) = (scene.plain("m0"), scene.tagged("m0"));
    // Copied, not yet removed; then a writer of the new layout and one of the old one wrote on.
    scene.oracle.say(&format!("HSET {plain} both old only-source 1 stream 2")).await;
    scene.oracle.say(&format!("HPEXPIRE {plain} 400000 FIELDS 1 stream")).await;
    scene.oracle.say(&format!("PEXPIRE {plain} 800000")).await;
    scene.oracle.say(&format!("HSET {tagged} both new only-target 3")).await;
    let (source_expiry, source) = everything(&scene.oracle, &plain).await;
    // m1 was copied, and nothing happened since.
    scene.oracle.say(&format!("HSET {} v 1", scene.plain("m1"))).await;
    scene.oracle.say(&format!("HSET {} v 1", scene.tagged("m1"))).await;

    let (report, heard) = scene.go(MoveDirection::IntoCohort).await;
    assert_eq!((report.merged + report.moved, &heard["m0"]), (2, &MoveOutcome::Merged), "{report:?}");
    let (expiry, fields) = everything(&scene.oracle, &tagged).await;
    let value = |name: &str| fields[name].0.as_str();
    assert_eq!([value("both"), value("only-source"), value("only-target")], ["new", "1", "3"]);
    assert_eq!((&fields["stream"], fields.len()), (&source["stream"], 4));
    assert_eq!(expiry, source_expiry, "the key had no expiry at the target");
    assert!(!scene.exists(&plain).await && !scene.exists(&scene.plain("m1")).await);
    let (again, _) = scene.go(MoveDirection::IntoCohort).await;
    assert_eq!(again, MoveReport { already_there: 2, ..MoveReport::default() });
}

#[tokio::test]
async fn a_key_that_is_no_hash_fails_alone() {
    let scene = Scene::new(ids("m", 0..3)).await;
    for n in [0, 2] {
        scene.oracle.say(&format!("HSET {} v {n}", scene.plain(&format!("m{n}")))).await;
    }
    scene.oracle.say(&format!("HSET {} v 1", scene.plain("m1"))).await;
    scene.oracle.say(&format!("SET {} word", scene.tagged("m1"))).await;
    let (report, heard) = scene.go(MoveDirection::IntoCohort).await;
    assert_eq!((report.moved, report.failed), (2, 1), "{heard:?}");
    assert!(scene.exists(&scene.plain("m1")).await, "what can't be merged stays where it is");
    assert_eq!(scene.oracle.say(&format!("GET {}", scene.tagged("m1"))).await.as_str(), Some("word"));
}

/// Writes that each racing writer tries: enough to be in the way of several attempts, and of more than one run.
const WRITES_MAX: i64 = 40;

/// Writes a growing number to a field of a hash while it is there; brings the last one that was taken.
async fn write_while_there(oracle: &Oracle, key: &str) -> i64 {
    let script = b"if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
        redis.call('HSET', KEYS[1], 'n', ARGV[1]) return 1";
    for number in 1..=WRITES_MAX {
        let text = number.to_string();
        if oracle.call(&[b"EVAL", script, b"1", key.as_bytes(), text.as_bytes()]).await != Reply::Int(1) {
            return number - 1;
        }
    }
    WRITES_MAX
}

/// Moves 60 members while a writer keeps changing each under its old key.
async fn assert_no_write_is_lost(at_target: Option<&str>) {
    let members = ids("m", 0..60);
    let scene = Scene::new(members.clone()).await;
    for member in &members {
        scene.oracle.say(&format!("HSET {} n 0 v x", scene.plain(member))).await;
        if let Some(features) = at_target {
            scene.oracle.say(&format!("HSET {} {features}", scene.tagged(member))).await;
        }
    }
    let plain: Vec<String> = members.iter().map(|member| scene.plain(member)).collect();
    let writers = plain.iter().map(|key| write_while_there(&scene.oracle, key));
    let moving = async {
        // A member whose writer is too fast for one run is left to the next.
        while scene.go(MoveDirection::IntoCohort).await.0.already_there < 60 {}
    };
    let (last_taken, ()) = tokio::join!(futures::future::join_all(writers), moving);
    for (member, last) in members.iter().zip(&last_taken) {
        let (_, fields) = everything(&scene.oracle, &scene.tagged(member)).await;
        assert_eq!(fields["n"].0, last.to_string(), "{member}: the writer was told that {last} was written");
        assert_eq!(fields["v"].0, "x");
    }
    assert!(last_taken.iter().sum::<i64>() > 60, "the writers did write: {last_taken:?}");
}

#[tokio::test]
async fn a_write_under_the_old_key_in_the_middle_of_a_move_is_not_lost() {
    assert_no_write_is_lost(None).await;
}

#[tokio::test]
async fn a_write_in_the_middle_of_a_merge_is_not_lost() {
    assert_no_write_is_lost(Some("other 1")).await;
}

#[tokio::test]
async fn a_ttl_renewed_in_the_middle_of_a_move_is_kept() {
    let members = ids("m", 0..60);
    let scene = Scene::new(members.clone()).await;
    for member in &members {
        scene.oracle.say(&format!("HSET {} v x", scene.plain(member))).await;
        scene.oracle.say(&format!("EXPIRE {} 1000", scene.plain(member))).await;
    }
    let renew = |member: EntityId| {
        let (key, scene) = (scene.plain(&member), &scene);
        async move {
            for turn in 2..=WRITES_MAX {
                if scene.oracle.number(&format!("EXPIRE {key} {}", 1_000 * turn)).await == 0 {
                    return 1_000 * (turn - 1);
                }
            }
            1_000 * WRITES_MAX
        }
    };
    let moving = async { while scene.go(MoveDirection::IntoCohort).await.0.already_there < 60 {} };
    let (last_taken, ()) =
        tokio::join!(futures::future::join_all(members.iter().cloned().map(renew)), moving);
    for (member, seconds) in members.iter().zip(last_taken) {
        let ttl = scene.oracle.number(&format!("TTL {}", scene.tagged(member))).await;
        assert!((seconds - 30..=seconds).contains(&ttl), "{member}: {ttl}, renewed to {seconds}");
    }
}

#[tokio::test]
async fn fields_added_under_the_old_key_by_a_writer_that_goes_on_are_all_found_at_the_end() {
    let scene = Scene::new(vec![id("m")]).await;
    let plain = scene.plain("m");
    scene.oracle.say(&format!("HSET {plain} f0 1")).await;
    let writer = async {
        for n in 1..600 {
            scene.oracle.say(&format!("HSET {plain} f{n} 1")).await;
        }
    };
    let mover = async {
        for _ in 0..60 {
            scene.go(MoveDirection::IntoCohort).await;
        }
    };
    tokio::join!(writer, mover);
    scene.go(MoveDirection::IntoCohort).await;
    assert_eq!(scene.oracle.number(&format!("HLEN {}", scene.tagged("m"))).await, 600);
    assert!(!scene.exists(&plain).await);
}
