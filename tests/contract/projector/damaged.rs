//! An event whose circumstances cannot be read: the damage stays with its staging.

use dm_domain::ids::{StagingName, Version};
use dm_eventstore::{Config, EventStore, Position, ReadError};
use dm_projector::stagings;

use super::rack::{Rack, name};

impl Rack {
    /// Appends an event as the newest one of a staging, with circumstances that no build writes.
    async fn damage(&self, of: &str) -> Position {
        let damage = "WITH h AS (UPDATE log_head SET position = position + 1 RETURNING position, at)
            INSERT INTO events (position, stream_id, version, type, schema, data, meta, at)
            SELECT h.position, e.stream_id, e.version + 1, e.type, e.schema, e.data, '{\"actor\": 1}', h.at
            FROM h, (SELECT * FROM events WHERE stream_id = $1 ORDER BY version DESC LIMIT 1) e RETURNING position";
        Position(sqlx::query_scalar(damage).bind(of).fetch_one(&self.pool).await.unwrap())
    }
}

#[tokio::test]
async fn circumstances_that_cannot_be_read_stop_their_staging_and_no_other() {
    let mut rack = Rack::create().await;
    rack.run("bad").await;
    rack.run("good").await;
    let damaged = rack.damage("bad").await;
    // Behind it in the log, and on the same page.
    rack.run("late").await;
    let end = rack.roll("good", 4, 0).await;
    rack.catch_up().await;
    assert_eq!(rack.projector.position().await.unwrap(), end, "nothing stands still but the one");

    let stopped = rack.projector.quarantined().await.unwrap();
    assert_eq!(stopped.len(), 3, "in each read model: {stopped:?}");
    assert!(stopped.iter().all(|one| one.key == "bad" && one.position == damaged), "{stopped:?}");
    for good in ["good", "late"] {
        assert!(stagings::get(&rack.pool, &name(good)).await.unwrap().0.is_ok(), "{good}");
    }
    assert!(stagings::get(&rack.pool, &name("bad")).await.unwrap().0.is_ok(), "it is shown as it was");

    // Another replica, which has no fold of it in memory: nothing is decided on it, and on the others all is.
    let store = EventStore::start(rack.pool.clone(), &rack.database.options(), &Config::default());
    let refused = store.load(&StagingName::parse("bad").unwrap()).await.unwrap_err();
    assert!(matches!(refused, ReadError::Decode(_)), "{refused:?}");
    assert!(store.load(&name("good")).await.unwrap().version > Version(1));
    assert_eq!(
        store.read_all(Position(0), EventStore::READ_MAX).await.unwrap().events.len(),
        usize::try_from(end.0).unwrap()
    );
}
