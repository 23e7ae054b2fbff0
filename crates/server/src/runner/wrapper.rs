//! The folder of wrappers: what is in it, and the questions that some of them answer.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dm_domain::ids::{StagingName, Tag};
use dm_domain::overrides::Values;
use dm_domain::staging::{Configuration, Verb};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::answer::{Answer, Captured, KnownTag};
use super::boottime::Moment;
use super::call::{About, Folder, Subject, Surroundings};
use super::executable::Executable;
use super::init::State;
use super::manifest::{Manifest, Program};
use super::report;
use super::shim::protocol::Spec;
use super::supervise::{Control, Ended, Sinks, supervise};
use super::text::Tail;
use crate::config::Settings;

/// The folder of wrappers, loaded and checked. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wrappers {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    surroundings: Surroundings,
    manifest: Manifest,
    paths: BTreeMap<Program, PathBuf>,
    questions: Semaphore,
    init: watch::Sender<State>,
}

/// Why a folder of wrappers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or the folder cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A required wrapper is not there.
    #[error("wrapper {} is missing", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A wrapper is there, but is no program.
    #[error("wrapper {} is not an executable file", .path.display())]
    NotExecutable {
        /// Which.
        path: PathBuf,
    },
    /// The manifest is wrong.
    #[error("{}: {cause}", .path.display())]
    Manifest {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// Why a wrapper that answers questions gave no answer. It is `init` while that one has not ended well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wrapper}: {cause}")]
pub(crate) struct WrapperError {
    /// Which one.
    pub(crate) wrapper: Program,
    /// In words, with the end of what it printed.
    pub(crate) cause: String,
}

/// What `config_check` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigCheck {
    /// Go on.
    Fine,
    /// Its text, for the person who asked.
    Refused(String),
}

/// What is to run for a verb, as fixed at the claim.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    pub(crate) path: PathBuf,
    /// None when the file cannot be read.
    pub(crate) executable: Option<Arc<Executable>>,
    pub(crate) limit: Duration,
    pub(crate) ask: bool,
}

/// One call of a wrapper, as it would be.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    pub(crate) executable: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) limit: Duration,
}

impl Wrappers {
    /// Looks at the folder that the settings name, and reads its manifest.
    pub fn load(settings: &Settings) -> Result<Self, LoadError> {
        let folder = std::path::absolute(&settings.wrappers)
            .and_then(std::fs::canonicalize)
            .map_err(|source| LoadError::Unreadable { path: settings.wrappers.clone(), source })?;
        let manifest = Manifest::read(&folder)?;
        let mut paths = BTreeMap::new();
        for program in Program::ALL {
            let path = folder.join(program.name());
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 => {
                    paths.insert(program, path);
                }
                Ok(_) => return Err(LoadError::NotExecutable { path }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if program.is_required() {
                        return Err(LoadError::Missing { path });
                    }
                }
                Err(source) => return Err(LoadError::Unreadable { path, source }),
            }
        }
        let surroundings = Surroundings {
            project_name: settings.project_name.clone(),
            base_domain: settings.base_domain.clone(),
            namespace: settings.namespace.clone(),
            home: settings.home.clone(),
            wrappers: folder,
            grace: settings.times.grace,
        };
        let questions = Semaphore::new(settings.max_questions);
        let init = watch::Sender::new(State::first(paths.contains_key(&Program::Init)));
        Ok(Self { inner: Arc::new(Inner { surroundings, manifest, paths, questions, init }) })
    }

    /// The defaults of both levels; empty when there is no such wrapper.
    pub(crate) async fn defaults(&self, staging: &StagingName, tag: &Tag) -> Result<Values, WrapperError> {
        const PROGRAM: Program = Program::Defaults;
        if !self.has(PROGRAM) {
            return Ok(Values::default());
        }
        let nothing = Arc::<Values>::default();
        let subject = Subject {
            staging: staging.clone(),
            tag: tag.clone(),
            overrides: Arc::clone(&nothing),
            effective: nothing,
            run: None,
        };
        let answer = self.question(PROGRAM, About::Staging(subject)).await?;
        answer.defaults().map_err(|cause| WrapperError { wrapper: PROGRAM, cause })
    }

    /// The versions of the product whose tag contains this text; none when there is no such wrapper.
    pub(crate) async fn tags(&self, query: String) -> Result<Vec<KnownTag>, WrapperError> {
        const PROGRAM: Program = Program::Tags;
        if !self.has(PROGRAM) {
            return Ok(Vec::new());
        }
        let answer = self.question(PROGRAM, About::Tags(query)).await?;
        answer.tags().map_err(|cause| WrapperError { wrapper: PROGRAM, cause })
    }

    /// Whether the product would accept this configuration; fine when there is no such wrapper.
    pub(crate) async fn config_check(
        &self,
        staging: &StagingName,
        configuration: &Configuration,
    ) -> Result<ConfigCheck, WrapperError> {
        const PROGRAM: Program = Program::ConfigCheck;
        const CANNOT_TELL: i32 = 4;
        if !self.has(PROGRAM) {
            return Ok(ConfigCheck::Fine);
        }
        let answer = self.question(PROGRAM, About::Staging(Subject::new(staging, configuration))).await?;
        match answer.ended {
            Ended::Exited(0) => Ok(ConfigCheck::Fine),
            Ended::Exited(code) if code != CANNOT_TELL => {
                let text = answer.text();
                let text = if text.is_empty() { format!("config_check exited with {code}") } else { text };
                Ok(ConfigCheck::Refused(text))
            }
            Ended::Exited(_)
            | Ended::Signalled(_)
            | Ended::TimeLimit
            | Ended::Stopped
            | Ended::NotStarted(_)
            | Ended::Lost => Err(WrapperError { wrapper: PROGRAM, cause: answer.cause() }),
        }
    }

    /// Whether the wrappers need `dms demo-host`, which keeps processes for them.
    pub(crate) fn need_demo_host(&self) -> bool {
        self.inner.manifest.needs_demo_host()
    }

    /// How `init` goes.
    pub(crate) fn init(&self) -> &watch::Sender<State> {
        &self.inner.init
    }

    /// Whether the folder has it.
    pub(crate) fn has(&self, program: Program) -> bool {
        self.inner.paths.contains_key(&program)
    }

    /// What is to run for a verb: where there is no `restore`, `create` brings a staging back.
    pub(crate) async fn lifecycle(&self, verb: Verb) -> Lifecycle {
        let own = Program::from(verb);
        let program = if verb == Verb::Restore && !self.has(own) { Program::Create } else { own };
        let path = self.path(program);
        let file = path.clone();
        let executable = tokio::task::spawn_blocking(move || Executable::open(&file).ok()).await.ok().flatten();
        Lifecycle {
            path,
            executable: executable.map(Arc::new),
            limit: self.inner.manifest.limit(program),
            ask: self.inner.manifest.asks(verb),
        }
    }

    /// What a run of this verb would execute for a staging of this configuration.
    pub(crate) async fn execution(
        &self,
        verb: Verb,
        staging: &StagingName,
        configuration: &Configuration,
    ) -> Execution {
        let Lifecycle { path, limit, .. } = self.lifecycle(verb).await;
        let arguments = self.inner.surroundings.arguments(&About::Staging(Subject::new(staging, configuration)));
        Execution { executable: path, arguments, limit }
    }

    /// The time limit of a program that is not a run's.
    pub(crate) fn limit(&self, program: Program) -> Duration {
        self.inner.manifest.limit(program)
    }

    /// Where a program is, or would be.
    pub(crate) fn path(&self, program: Program) -> PathBuf {
        let missing = || self.inner.surroundings.wrappers.join(program.name());
        self.inner.paths.get(&program).cloned().unwrap_or_else(missing)
    }

    /// Writes the files of a call and makes its spec.
    pub(crate) async fn prepare(
        &self,
        executable: PathBuf,
        limit: Duration,
        folder: String,
        about: About,
    ) -> io::Result<(Spec, Folder)> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.surroundings.prepare(&executable, limit, &folder, &about))
            .await
            .map_err(io::Error::other)?
    }

    /// Calls a program that answers by what it prints, once there is a place for it.
    async fn question(&self, program: Program, about: About) -> Result<Answer, WrapperError> {
        let failed = |cause: String| WrapperError { wrapper: program, cause };
        if let Some(cause) = self.inner.init.borrow().missing() {
            return Err(WrapperError { wrapper: Program::Init, cause });
        }
        let limit = self.limit(program);
        // The wait for a place is bounded too: whoever asks has somebody waiting.
        let place = tokio::time::timeout(limit, self.inner.questions.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(failed("too many questions are waiting".to_owned())) };
        let (_never_renewed, deadline) = watch::channel(Moment::NEVER);
        let control = Control { deadline, stop: CancellationToken::new() };
        self.ask(program, about, control).await
    }

    /// Calls a program that answers by what it prints.
    pub(crate) async fn ask(&self, program: Program, about: About, control: Control) -> Result<Answer, WrapperError> {
        let failed = |cause: String| WrapperError { wrapper: program, cause };
        let folder = format!("{}-{}", program.name(), Uuid::new_v4());
        let prepared = self.prepare(self.path(program), self.limit(program), folder, about).await;
        let (spec, folder) = prepared.map_err(|error| failed(format!("cannot write its files: {error}")))?;
        let (mut stdout, mut stderr) = (Captured::default(), Tail::default());
        let ended = supervise(spec, control, Sinks::Apart(&mut stdout, &mut stderr)).await;
        Answer::new(ended, stdout, stderr, report::cause(&folder.report())).map_err(failed)
    }
}
