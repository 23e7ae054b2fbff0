//! What `delete` remembers on an object, so that `restore` can bring it back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::object::Object;
use crate::cluster::workload;

/// How many replicas ran.
const REPLICAS: &str = "dm/replicas";

/// How many the chart asked for then; empty where it left that open.
const CHART_REPLICAS: &str = "dm/chart-replicas";

/// That a cron job was suspended by us.
const SUSPENDED: &str = "dm/suspended";

/// What is remembered of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) replicas: i64,
    pub(crate) chart: Option<i64>,
}

impl Memory {
    /// What an object says of itself.
    pub(crate) fn of(object: &Object) -> Option<Self> {
        let replicas = object.annotation(REPLICAS)?.parse().ok().filter(|replicas| *replicas > 0)?;
        Some(Self { replicas, chart: object.annotation(CHART_REPLICAS).and_then(|text| text.parse().ok()) })
    }

    /// How many may run before the chart is applied: no more than its manifest asks for, so that helm scales nothing down.
    /// One that is not of the manifest has what was asked for at the delete.
    pub(crate) fn at_first(self, manifest: Option<&Object>) -> i64 {
        let asked = manifest.map_or(self.chart, |wanted| wanted.number("/spec/replicas"));
        asked.map_or(self.replicas, |asked| asked.min(self.replicas))
    }

    /// A merge patch that writes it down.
    pub(crate) fn patch(self) -> Value {
        let chart = self.chart.map(|chart| chart.to_string()).unwrap_or_default();
        json!({"metadata": {"annotations": {REPLICAS: self.replicas.to_string(), CHART_REPLICAS: chart}}})
    }
}

/// What a run has forgotten at its end, by UID. The same run may be called again, because nobody has seen its end; for it
/// everything must be as it was, or the chart's numbers would take the place of those that it has brought back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Forgotten {
    pub(crate) run: String,
    pub(crate) workloads: BTreeMap<String, Memory>,
}

impl Forgotten {
    /// All that these objects remember.
    pub(crate) fn of(run: &str, objects: &[Object]) -> Self {
        let remembered = objects.iter().filter_map(|object| Some((object.uid().to_owned(), Memory::of(object)?)));
        Self { run: run.to_owned(), workloads: remembered.collect() }
    }

    /// Puts back, into what is known of the objects, what they remembered when this run began.
    pub(crate) fn recall(&self, run: &str, objects: &mut [Object]) {
        for object in objects.iter_mut().filter(|object| self.run == run && Memory::of(object).is_none()) {
            let Some(Value::Object(annotations)) = self.workloads.get(object.uid()).map(|memory| {
                let mut patch = memory.patch();
                patch["metadata"]["annotations"].take()
            }) else {
                continue;
            };
            for (key, value) in annotations {
                object.0["metadata"]["annotations"][key] = value;
            }
        }
    }
}

/// A merge patch that forgets it.
pub(crate) fn forgotten() -> Value {
    json!({"metadata": {"annotations": {REPLICAS: null, CHART_REPLICAS: null}}})
}

/// A merge patch that suspends a cron job and writes down that it was us.
pub(crate) fn suspended() -> Value {
    json!({"metadata": {"annotations": {SUSPENDED: "true"}}, "spec": {"suspend": true}})
}

/// A merge patch that undoes [`suspended`].
pub(crate) fn resumed() -> Value {
    json!({"metadata": {"annotations": {SUSPENDED: null}}, "spec": {"suspend": false}})
}

/// Whether we have suspended it.
pub(crate) fn is_suspended_by_us(object: &Object) -> bool {
    object.annotation(SUSPENDED).is_some()
}

/// The number of replicas that a workload is to have after the chart was applied; none if it is right as it is.
///
/// A chart that asks for another number than at the delete is obeyed. A workload at 0 whose chart leaves the number open
/// would stay there for good, because an autoscaler does not begin at 0.
pub(crate) fn number_after(live: &Object, manifest: &Object, before: Option<Memory>, least: i64) -> Option<i64> {
    let asked = manifest.number("/spec/replicas");
    let wanted = match (before, asked) {
        (Some(memory), None) => memory.replicas,
        (Some(memory), Some(asked)) if memory.chart == Some(asked) && asked > 0 => memory.replicas,
        (None, None) if workload::replicas(live) == 0 => least.max(1),
        (Some(_) | None, Some(_)) | (None, None) => return None,
    };
    (wanted != workload::replicas(live)).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(replicas: Option<i64>) -> Object {
        Object(json!({"kind": "Deployment", "spec": replicas.map_or(json!({}), |n| json!({"replicas": n}))}))
    }

    #[test]
    fn the_number_of_the_archive_comes_back_unless_the_chart_has_another_wish() {
        let memory = |chart| Some(Memory { replicas: 4, chart });
        for (live, asked, before, after) in [
            // The chart asks for what it did at the delete: what ran then comes back.
            (2, Some(2), memory(Some(2)), Some(4)),
            (4, Some(2), memory(Some(2)), None),
            // It asks for another number now.
            (3, Some(3), memory(Some(2)), None),
            (0, Some(0), memory(Some(0)), None),
            // It leaves the number open.
            (0, None, memory(None), Some(4)),
            (0, None, None, Some(2)),
            (1, None, None, None),
            (2, Some(2), None, None),
        ] {
            let found = number_after(&workload(Some(live)), &workload(asked), before, 2);
            assert_eq!(found, after, "live {live}, asked {asked:?}, {before:?}");
        }
    }

    #[test]
    fn at_first_no_more_run_than_the_chart_asks_for() {
        for (replicas, asked, first) in [(3, Some(1), 1), (2, Some(3), 2), (3, None, 3), (3, Some(0), 0)] {
            let memory = Memory { replicas, chart: Some(2) };
            assert_eq!(memory.at_first(Some(&workload(asked))), first, "{replicas}, {asked:?}");
        }
        assert_eq!(Memory { replicas: 3, chart: Some(2) }.at_first(None), 2);
        assert_eq!(Memory { replicas: 3, chart: None }.at_first(None), 3);
    }

    #[test]
    fn only_the_run_that_has_forgotten_it_recalls_it() {
        let (memory, mut object) = (Memory { replicas: 4, chart: Some(2) }, workload(Some(2)));
        object.0["metadata"] = json!({"uid": "u"});
        let mut archived = object.clone();
        archived.0["metadata"]["annotations"] = memory.patch()["metadata"]["annotations"].clone();
        let forgotten = Forgotten::of("run", &[archived, workload(None)]);
        assert_eq!(forgotten.workloads.len(), 1);
        let recalled = |run: &str| {
            let mut objects = [object.clone()];
            forgotten.recall(run, &mut objects);
            Memory::of(&objects[0])
        };
        assert_eq!((recalled("run"), recalled("another")), (Some(memory), None));
    }

    #[test]
    fn what_was_written_down_is_read_again() {
        for memory in [Memory { replicas: 3, chart: Some(2) }, Memory { replicas: 1, chart: None }] {
            assert_eq!(Memory::of(&Object(memory.patch())), Some(memory));
        }
        for nothing in [json!({}), json!({"metadata": {"annotations": {REPLICAS: "0"}}}), forgotten()] {
            assert_eq!(Memory::of(&Object(nothing)), None);
        }
    }
}
