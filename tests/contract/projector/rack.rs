//! A log and its read models in a database of their own, for the tests beside this file. Asserts nothing.

use std::collections::BTreeMap;

use dm_domain::ids::{CommandId, StagingName, Version};
use dm_domain::staging::{Event, Wish};
use dm_eventstore::{
    Append, BodyMac, CommandKey, Config, EventStore, NewEvent, Pool, Position, Receipt, StreamId, codec,
};
use dm_projector::{Projector, Stepped};
use dm_tests::postgres::Database;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::history::{self, Life};

/// A log with read models that move only when they are told to.
pub(super) struct Rack {
    pub(super) pool: Pool,
    pub(super) store: EventStore,
    pub(super) projector: Projector,
    pub(super) lives: BTreeMap<String, Life>,
    pub(super) database: Database,
}

impl Rack {
    pub(super) async fn create() -> Self {
        Self::on(Database::create().await).await
    }

    /// On a database that has all migrations.
    pub(super) async fn on(database: Database) -> Self {
        let pool = database.pool().await;
        let store = EventStore::start(pool.clone(), &database.options(), &Config::default());
        let projector = Projector::new(store.clone(), pool.clone());
        Self { pool: pool.into(), store, projector, lives: BTreeMap::new(), database }
    }

    /// Asks for something and appends what the domain makes of it; the position of the last event.
    pub(super) async fn ask(&mut self, name: &str, wish: impl FnOnce(&Life) -> Wish) -> Position {
        let life = self.life(name);
        let wish = wish(life);
        let events = life.ask(wish);
        assert!(!events.is_empty(), "the domain refuses what this test stands on");
        self.append(name, events).await
    }

    /// Rolls a die's wish that the domain accepts.
    pub(super) async fn roll(&mut self, name: &str, pick: u8, about: u8) -> Position {
        let events = self.life(name).roll((pick, about));
        assert!(!events.is_empty(), "the domain refuses what this test stands on");
        self.append(name, events).await
    }

    /// Lets `names` live for `rolls` of the dice.
    pub(super) async fn live(&mut self, names: &[&str], seed: u64, rolls: usize) {
        for (dice, name) in history::dice(seed).take(rolls).zip(names.iter().cycle()) {
            let events = self.life(name).roll(dice);
            if !events.is_empty() {
                self.append(name, events).await;
            }
        }
    }

    /// Brings a staging up: created, started, ended well, checked.
    pub(super) async fn run(&mut self, name: &str) -> Position {
        self.roll(name, 0, 1).await;
        self.roll(name, 8, 1).await;
        self.roll(name, 11, 0).await;
        self.roll(name, 15, 0).await
    }

    /// Appends an event that no build knows.
    pub(super) async fn poison(&mut self, name: &str) -> Position {
        let data = RawValue::from_string(r#"{"what":"nobody knows"}"#.to_owned()).unwrap();
        let expected = self.life(name).state.version();
        self.put(name, expected, vec![NewEvent { event_type: "Enchanted", schema: 1, data }]).await.position
    }

    /// Moves the read models to the end of the log.
    pub(super) async fn catch_up(&self) {
        catch_up(&self.projector).await;
    }

    pub(super) fn state(&self, name: &str) -> &dm_domain::staging::State {
        &self.lives[name].state
    }

    fn life(&mut self, name: &str) -> &mut Life {
        let salt = self.lives.len() as u64;
        self.lives.entry(name.to_owned()).or_insert_with(|| Life::new(name, salt))
    }

    async fn append(&mut self, name: &str, events: Vec<Event>) -> Position {
        let before = self.life(name).state.version();
        let receipt = self.put(name, before, events.iter().map(codec::encode).collect()).await;
        let stream = StreamId::from(&self.life(name).name);
        for recorded in self.store.read_stream(&stream, before, 100).await.unwrap().events {
            self.life(name).take(&codec::decode(&recorded).unwrap());
        }
        receipt.position
    }

    async fn put(&mut self, name: &str, expected: Version, events: Vec<NewEvent>) -> Receipt {
        let id = CommandId(Uuid::new_v4());
        let append = Append {
            stream: StreamId::from(&StagingName::parse(name).unwrap()),
            expected,
            events,
            meta: history::metadata(id),
            command: CommandKey { id, mac: BodyMac([0; 32]) },
            run: None,
            lease: None,
        };
        self.store.append(append).await.unwrap()
    }
}

/// Moves the read models to the end of the log, whoever does it.
pub(super) async fn catch_up(projector: &Projector) {
    while matches!(projector.step().await.unwrap(), Stepped::More | Stepped::Elsewhere) {}
}

/// Everything that the read models hold, but for the number of the generation.
pub(super) async fn dump(pool: &Pool) -> [Vec<String>; 4] {
    let stagings = "SELECT ROW(key, position, valid_to, row::text, cleaned_up_at, status, tag, work, due, checked,
        deadline, owner, created_at, changed_at, archived_at)::text FROM stagings ORDER BY key, position";
    let runs =
        "SELECT ROW(key, position, valid_to, row::text, staging, version)::text FROM runs ORDER BY key, position";
    let audit =
        "SELECT ROW(position, staging, version, type, sentence, at, actor, channel, reason, on_behalf, run, verb,
        data::text)::text FROM audit ORDER BY position";
    let quarantine = "SELECT ROW(projection, key, position, cause)::text FROM quarantine ORDER BY projection, key";
    let rows = async |statement: &'static str| sqlx::query_scalar(statement).fetch_all(pool).await.unwrap();
    [rows(stagings).await, rows(runs).await, rows(audit).await, rows(quarantine).await]
}

pub(super) fn name(text: &str) -> StagingName {
    StagingName::parse(text).unwrap()
}
