//! What there has to be of a staging of the product with everything on, a line for each object as [`super::seen`] has them.

/// What a staging went through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) name: &'a str,
    pub(crate) tag: &'a str,
    /// Revisions of its release.
    pub(crate) revisions: usize,
    /// Replicas of the Deployment, which an autoscaler governs.
    pub(crate) web: i64,
}

impl Expected<'_> {
    /// Everything of it, while it runs.
    pub(crate) fn running(&self) -> Vec<String> {
        let Self { name, tag, web, .. } = *self;
        let mark = self.mark();
        let mut lines = self.kept(name, web, 1);
        lines.push(format!("CronJob {name}-cron {mark} dm.test/done:{tag}"));
        lines.push(format!("DaemonSet {name}-agent {mark} 2/2 dm.test/ready:{tag}"));
        lines.push(format!("HorizontalPodAutoscaler {name}-web {mark} 2-5"));
        lines.push(format!("Job {name}-migrate {mark} 1 done dm.test/done:{tag}"));
        lines.push(format!("Pod of {name} migrate Succeeded dm.test/done:{tag}"));
        for (component, count) in [("agent", 2), ("db", 1), ("web", web)] {
            lines.extend((0..count).map(|_| format!("Pod of {name} {component} Running dm.test/ready:{tag}")));
        }
        lines
    }

    /// What there is of it while it is archived: nothing that runs, and all that it has stored. The marks are those of the
    /// run before, which has applied it.
    pub(crate) fn archived(&self) -> Vec<String> {
        self.kept(self.name, 0, 0)
    }

    fn mark(&self) -> String {
        format!("dm/staging={0} dm/tag={1} dm/run={0}", self.name, self.tag)
    }

    fn kept(&self, name: &str, web: i64, db: i64) -> Vec<String> {
        let tag = self.tag;
        let mark = self.mark();
        let remembers = |ran: i64| if db == 0 { format!(" remembers {ran}") } else { String::new() };
        let mut lines = vec![
            format!("Certificate {name}-web {mark}"),
            format!("ConfigMap {name}-config {mark}"),
            format!("ConfigMap dm.{name} dm/staging={name}"),
            format!("Deployment {name}-web {mark}{} {web}/{web} dm.test/ready:{tag}", remembers(self.web)),
            format!("Ingress {name}-web {mark}"),
            // Claims of a template, and what cert-manager makes, carry no mark.
            format!("PersistentVolumeClaim data-{name}-db-0 Bound"),
            format!("PersistentVolumeClaim {name}-files {mark} Bound"),
            format!("Secret {name}-tls"),
            format!("Service {name}-db {mark}"),
            format!("Service {name}-web {mark}"),
            format!("StatefulSet {name}-db {mark}{} {db}/{db} dm.test/ready:{tag}", remembers(1)),
        ];
        for revision in 1..=self.revisions {
            let (status, run) = if revision == self.revisions { ("deployed", name) } else { ("superseded", "another") };
            lines.push(format!("Secret sh.helm.release.v1.{name}.v{revision} dm/staging={name} dm/run={run} {status}"));
        }
        lines
    }
}
