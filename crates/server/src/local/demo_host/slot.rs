//! One staging of the host: what it is to run with, and its process while it runs.
//!
//! Its wishes are on disk before its process follows, so that whatever is cut short is known to the next host. Must not
//! know of other stagings; who calls holds it alone.

use std::io;
use std::path::{Path, PathBuf};

use dm_domain::ids::{StagingName, Tag};

use super::files::{Folder, Spec};
use super::process::{self, Process};
use super::wire::{Report, Settings, State};

/// Why a staging was not started, in words for the person who wanted it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It was to be started as it was, and there is nothing of it.
    #[error("{0} is not here")]
    Absent(StagingName),
    /// It was to be started as it was, and it is stopped on purpose.
    #[error("{0} was stopped; restore it to start it again")]
    Stopped(StagingName),
    /// The machine did not do it.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

/// One staging.
#[derive(Debug)]
pub(super) struct Slot {
    name: StagingName,
    home: PathBuf,
    folder: Folder,
    spec: Option<Spec>,
    process: Option<Process>,
}

impl Slot {
    /// What is on disk of a staging. A file that cannot be read counts as none: the next start or removal mends it.
    pub(super) fn load(home: &Path, name: &StagingName) -> Self {
        let folder = Folder::of(home, name);
        let spec = folder.load().unwrap_or_else(|error| {
            tracing::warn!(staging.name = %name, %error, "its spec.json cannot be read");
            None
        });
        Self { name: name.clone(), home: home.to_owned(), folder, spec, process: None }
    }

    /// Whether it was never started here, or was removed.
    pub(super) fn is_empty(&self) -> bool {
        self.spec.is_none()
    }

    /// Whether it has a process.
    pub(super) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it should run and has not ended by itself.
    pub(super) fn is_due(&self) -> bool {
        self.process.is_none() && self.spec.as_ref().is_some_and(|spec| spec.should_run && spec.ended.is_none())
    }

    /// Starts it with these settings in place of what runs, and returns when it answers.
    pub(super) async fn start(&mut self, settings: Settings) -> io::Result<Report> {
        let port = self.spec.as_ref().and_then(|old| old.port);
        let spec = Spec { name: self.name.clone(), settings, should_run: true, ended: None, port };
        self.launch(spec).await?;
        Ok(self.report())
    }

    /// Starts it as it was, if its process has ended although it should run.
    pub(super) async fn start_again(&mut self) -> Result<Report, Refusal> {
        self.notice_end();
        match self.spec.clone() {
            None => return Err(Refusal::Absent(self.name.clone())),
            Some(spec) if !spec.should_run => return Err(Refusal::Stopped(self.name.clone())),
            Some(spec) if self.process.is_none() => self.launch(Spec { ended: None, ..spec }).await?,
            Some(_) => {}
        }
        Ok(self.report())
    }

    /// Ends its process and keeps its files.
    pub(super) async fn stop(&mut self) -> io::Result<Report> {
        if let Some(spec) = &mut self.spec
            && spec.should_run
        {
            (spec.should_run, spec.ended) = (false, None);
            self.folder.store(spec)?;
        }
        if let Some(process) = self.process.take() {
            process.stop().await?;
        }
        Ok(self.report())
    }

    /// Ends its process and removes its files.
    pub(super) async fn remove(&mut self) -> io::Result<Report> {
        self.stop().await?;
        self.folder.remove(&self.home, &self.name)?;
        self.spec = None;
        Ok(self.report())
    }

    /// What is true of it, after asking it.
    pub(super) async fn status(&mut self) -> Report {
        self.notice_end();
        let mut report = self.report();
        let Some(process) = &self.process else { return report };
        let cause = match process::ask(process.port).await {
            Ok(answer) if answer.name == self.name.as_str() => {
                report.tag = Tag::parse(&answer.tag).ok();
                report.visits = Some(answer.visits);
                return report;
            }
            Ok(answer) => format!("{} answers in its place", answer.name),
            Err(error) => error.to_string(),
        };
        (report.state, report.cause) = (State::Silent, Some(cause));
        report
    }

    /// What is true of it, without asking it.
    pub(super) fn report(&self) -> Report {
        let state = match (&self.spec, &self.process) {
            (Some(_), Some(_)) => State::Running,
            (Some(spec), None) if spec.should_run => State::Dead,
            (Some(_), None) => State::Stopped,
            (None, _) if self.folder.exists() => State::Stopped,
            (None, _) => State::Absent,
        };
        Report {
            name: self.name.clone(),
            state,
            url: self.process.as_ref().map(|process| process::url(process.port)),
            tag: self.spec.as_ref().map(|spec| spec.settings.tag.clone()),
            visits: self.folder.exists().then(|| self.folder.visits()),
            pid: self.process.as_ref().map(|process| process.pid),
            cause: self.spec.as_ref().and_then(|spec| spec.ended.clone()),
        }
    }

    /// Takes note of a process that has ended though it should run.
    pub(super) fn notice_end(&mut self) {
        let Some(cause) = self.process.as_mut().and_then(Process::ended) else { return };
        tracing::warn!(staging.name = %self.name, cause, "ended by itself");
        self.process = None;
        if let Some(spec) = &mut self.spec {
            spec.ended = Some(cause);
            if let Err(error) = self.folder.store(spec) {
                tracing::warn!(staging.name = %self.name, %error, "its end cannot be written down");
            }
        }
    }

    /// Takes its process away without a change to what should run.
    pub(super) fn take_process(&mut self) -> Option<Process> {
        self.process.take()
    }

    async fn launch(&mut self, mut spec: Spec) -> io::Result<()> {
        self.folder.store(&spec)?;
        self.spec = Some(spec.clone());
        if let Some(old) = self.process.take() {
            old.stop().await?;
        }
        let started = Process::start(&self.folder, spec.port).await;
        match &started {
            Ok(process) => {
                let Process { pid, port, .. } = process;
                tracing::info!(staging.name = %self.name, tag = %spec.settings.tag, pid, port, "started");
                spec.port = Some(process.port);
            }
            Err(error) => {
                tracing::warn!(staging.name = %self.name, %error, "not started");
                spec.ended = Some(error.to_string());
            }
        }
        self.folder.store(&spec)?;
        self.spec = Some(spec);
        self.process = Some(started?);
        Ok(())
    }
}
