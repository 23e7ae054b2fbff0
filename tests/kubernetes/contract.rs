//! The contract with wrappers, held by ours on a real control plane: the suite that every folder of wrappers can be tried
//! with, and below it what only a cluster can say.

mod by_hand;

/// Every promise of `wrappers/README.md`, each in a namespace of its own.
#[path = "../contract/wrappers"]
mod suite {
    #[allow(dead_code, reason = "the demo has a host, which these wrappers do not need")]
    mod harness;
    mod promises;

    use dm_tests::kubernetes::{Namespace, Plane, Reclaim, chart};
    use harness::{Given, Home};
    use promises::every_promise;
    use serde_json::Value;

    use crate::world::repository;

    macro_rules! tried {
        ($($promise:ident)*) => {
            $(
                #[tokio::test]
                async fn $promise() {
                    let plane = Plane::shared();
                    let namespace = plane.namespace();
                    let home = Home::with(&repository().join("wrappers/kubernetes"), given(&namespace, "small")).await;
                    promises::$promise(&home).await;
                }
            )*
        };
    }

    every_promise!(tried);

    fn given(namespace: &Namespace, name: &str) -> Given {
        let client = namespace.client();
        let variables = [
            ("PATH", client.path()),
            ("HOME", namespace.folder().into()),
            ("KUBECONFIG", client.kubeconfig().into()),
            ("DM_WRAPPER_CHART__PATH", chart(name).into()),
        ];
        Given {
            tags: ["1.0.0", "2.0.0", "3.0.0"].map(str::to_owned),
            namespace: namespace.name().to_owned(),
            variables: variables.into_iter().map(|(name, value)| (name.into(), value)).collect(),
            ..Given::of_environment()
        }
    }

    /// Everything of a staging by kind and name, with its UID and the number of changes that were asked of it. Without jobs,
    /// which a chart may run at each update.
    fn objects(namespace: &Namespace) -> Vec<String> {
        let kinds = "deployments,statefulsets,daemonsets,cronjobs,pods,pvc,services,configmaps,ingresses,secrets";
        let is_of_a_job = |object: &Value| {
            object["metadata"]["ownerReferences"]
                .as_array()
                .is_some_and(|owners| owners.iter().any(|o| o["kind"] == "Job"))
        };
        let is_release = |object: &Value| object["type"] == "helm.sh/release.v1";
        let told = |object: &Value| {
            let meta = &object["metadata"];
            format!("{} {} {} {}", object["kind"], meta["name"], meta["uid"], meta["generation"])
        };
        let all = namespace.get(kinds, "");
        let mut objects: Vec<String> =
            all.iter().filter(|object| !is_of_a_job(object) && !is_release(object)).map(told).collect();
        objects.sort();
        objects
    }

    #[tokio::test]
    async fn every_verb_again_leaves_each_object_and_each_pod_as_it_is() {
        let plane = Plane::shared();
        let namespace = plane.namespace();
        namespace.volume("data-again-db-0", "1Gi", Reclaim::Delete);
        namespace.volume("again-files", "2Gi", Reclaim::Delete);
        let nothing = objects(&namespace);
        let home = Home::with(&repository().join("wrappers/kubernetes"), given(&namespace, "product")).await;
        let [first, second, _] = home.tags();
        let pods = |objects: &[String]| objects.iter().filter(|object| object.starts_with("\"Pod\"")).count();
        let twice = async |verb: &str, tag: &str, check: &str| {
            let staging = home.staging("again").tag(tag);
            let mut before = Vec::new();
            for time in 1..=2 {
                staging.done(verb).await;
                staging.reaches(check, 0).await;
                let after = objects(&namespace);
                assert!(time == 1 || after == before, "{verb} again has changed {before:#?} to {after:#?}");
                before = after;
            }
            before
        };
        let created = twice("create", first, "check").await;
        assert_eq!(pods(&created), 5, "two of web, one of db, and an agent on each node: {created:#?}");
        assert_ne!(twice("update", second, "check").await, created);
        let deleted = twice("delete", second, "archive_check").await;
        assert_eq!(pods(&deleted), 0, "{deleted:#?}");
        twice("restore", second, "check").await;
        twice("delete", second, "archive_check").await;
        assert_eq!(twice("cleanup", second, "archive_check").await, nothing);
    }
}
