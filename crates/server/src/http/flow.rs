//! The way of a command of a person: read, understand, look up, prepare, transact, answer, and one line in the log.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use dm_domain::Decider;
use dm_domain::ids::{RunId, StagingName};
use dm_domain::overrides::Values;
use dm_domain::staging::{Change, Command, Configuration, Create, Event, Recorded, Rejection, Staging, State, Wish};
use dm_eventstore::{Channel, CommandKey, Metadata, Receipt, TransactError, Transaction};
use uuid::Uuid;

use crate::access::identity::Identity;
use crate::access::policy;
use crate::app::App;
use crate::error::{ApiError, codes, stopping};
use crate::http::answer;
use crate::http::asked::Asked;
use crate::http::context::RequestId;
use crate::http::input::{Draft, Places, Said};
use crate::http::violations::Violations;
use crate::runner::ConfigCheck;

/// From a request to a draft. An error ends the request at once; violations are gathered with those of the rest of it.
pub(crate) type Understand = fn(&App, &Asked, &mut Violations) -> Result<Option<Draft>, ApiError>;

/// Carries a command out. It goes on to its end also when its caller hangs up, so that what was accepted is acted on.
pub(crate) async fn carry_out(
    app: App,
    verb: &'static str,
    request: Request,
    understand: Understand,
) -> Result<Response, ApiError> {
    let task = tokio::spawn(async move {
        let mut line = Line { verb, started: Instant::now(), ..Line::default() };
        let result = attempt(&app, &mut line, request, understand).await;
        line.write(&app, &result);
        result
    });
    match task.await {
        Ok(result) => result.map(|receipt| answer::accepted(&receipt)),
        Err(ended) => Err(ApiError::internal(ended)),
    }
}

async fn attempt(app: &App, line: &mut Line, request: Request, understand: Understand) -> Result<Receipt, ApiError> {
    line.request_id = request.extensions().get::<RequestId>().map_or_else(Uuid::now_v7, |id| id.0);
    line.actor = request.extensions().get::<Identity>().map(|identity| identity.actor().0);
    let asked = Asked::read(request).await?;
    line.staging.clone_from(&asked.path_name);

    let mut violations = Violations::default();
    let key = asked.command_key(&mut violations);
    let draft = understand(app, &asked, &mut violations)?;
    violations.done()?;
    let (Some(key), Some(draft)) = (key, draft) else {
        return Err(ApiError::internal("a draft is missing though nothing is wrong with the request"));
    };
    policy::may(asked.identity.role, &draft.wish).map_err(|why| ApiError::new(codes::NOT_ALLOWED, why))?;
    line.staging = Some(draft.staging.to_string());
    line.command_id = Some(key.id.0);
    decide(app, asked.identity, line.request_id, key, draft).await
}

async fn decide(
    app: &App,
    identity: Identity,
    correlation_id: Uuid,
    key: CommandKey,
    draft: Draft,
) -> Result<Receipt, ApiError> {
    if let Some(receipt) = app.store.find_command(key).await? {
        return Ok(receipt);
    }
    if app.stopping.is_cancelled() {
        return Err(stopping());
    }
    let Draft { staging, wish, said: Said { reason, on_behalf }, places } = draft;
    let actor = identity.actor();
    let mut command = Command { now: app.clock.now(), actor: actor.clone(), run: RunId(Uuid::now_v7()), wish };
    // A wish that is refused whatever the defaults are is refused before a wrapper is called. The same command may have
    // been carried out meanwhile; then its first answer holds.
    if defaults_of(&mut command.wish).is_some()
        && let Err(refusal) = judge(app, &staging, &mut command, &places).await
    {
        return app.store.find_command(key).await?.ok_or(refusal);
    }
    let on_behalf = on_behalf.map(String::from);
    let meta = Metadata { actor, channel: Channel::Dmc, reason, command_id: key.id, correlation_id, on_behalf };
    let started = Instant::now();
    let result =
        app.store.transact(Transaction { staging: staging.clone(), command, meta, mac: key.mac, lease: None }).await;
    app.metrics.append(started.elapsed());
    match result {
        Ok(receipt) => {
            app.runner.wake();
            Ok(receipt)
        }
        Err(TransactError::Rejected(rejection)) => Err(refused(app, &staging, &rejection, &places)),
        Err(error) => Err(ApiError::not_transacted(error, app.clock.now())),
    }
}

/// What a wish comes to on a state.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The state on which it was judged.
    pub(crate) before: Arc<State>,
    /// The state that it leads to.
    pub(crate) after: State,
    /// Whether nothing would have to happen.
    pub(crate) quiet: bool,
}

/// Judges a wish on the newest state, with the defaults that it needs and the product's word on the configuration that
/// it would make. The defaults stay in the command.
///
/// The state is loaded from the database after the request has come in, so a refusal is as good as one of `transact`.
pub(crate) async fn judge(
    app: &App,
    staging: &StagingName,
    command: &mut Command,
    places: &Places,
) -> Result<Judged, ApiError> {
    let before = app.store.load(staging).await?.state;
    let decide = |command: &Command| Staging::decide(&before, command).map_err(|no| refused(app, staging, &no, places));
    let events = decide(command)?;
    let Some(_) = defaults_of(&mut command.wish) else { return Ok(Judged::new(before, events, command)) };
    let Judged { after, .. } = Judged::new(Arc::clone(&before), events, command);
    let Some(Configuration { tag, .. }) = after.configuration() else {
        return Err(ApiError::internal("a command that needs defaults leads to no configuration"));
    };
    let wrappers = app.runner.wrappers();
    let defaults = wrappers.defaults(staging, tag).await;
    let defaults = defaults.map_err(|error| ApiError::wrapper(codes::DEFAULTS_UNAVAILABLE, &error))?;
    if let Some(place) = defaults_of(&mut command.wish) {
        *place = defaults;
    }
    // The wrapper took its time; what is decided is judged on the time of now.
    command.now = app.clock.now();
    let events = decide(command)?;
    let judged = Judged::new(Arc::clone(&before), events, command);
    if let (false, Some(configuration)) = (judged.quiet, judged.after.configuration()) {
        let checked = wrappers.config_check(staging, configuration).await;
        match checked.map_err(|error| ApiError::wrapper(codes::CONFIG_CHECK_UNAVAILABLE, &error))? {
            ConfigCheck::Fine => {}
            ConfigCheck::Refused(text) => return Err(ApiError::new(codes::CONFIGURATION_REFUSED, text)),
        }
    }
    Ok(judged)
}

impl Judged {
    fn new(before: Arc<State>, events: Vec<Event>, command: &Command) -> Self {
        let quiet = events.is_empty();
        let after = events.into_iter().fold((*before).clone(), |state, event| {
            let version = state.version().next();
            Staging::evolve(state, &Recorded { version, at: command.now, actor: command.actor.clone(), event })
        });
        Self { before, after, quiet }
    }
}

/// Where a wish keeps the defaults that it needs.
fn defaults_of(wish: &mut Wish) -> Option<&mut Values> {
    match wish {
        Wish::Create(Create { defaults, .. })
        | Wish::Update(Change { defaults, .. })
        | Wish::Restore(Change { defaults, .. })
        | Wish::Apply { change: Change { defaults, .. }, .. }
        | Wish::Retry { defaults, .. } => Some(defaults),
        Wish::Delete { .. }
        | Wish::Cleanup { .. }
        | Wish::Cancel { .. }
        | Wish::StartRun(_)
        | Wish::FinishRun { .. }
        | Wish::InterruptRun { .. }
        | Wish::ReportCheck(_)
        | Wish::ReportLinks { .. } => None,
    }
}

fn refused(app: &App, staging: &StagingName, rejection: &Rejection, places: &Places) -> ApiError {
    if let Rejection::NotFound { cleaned_up_at } = rejection {
        return ApiError::no_staging(staging, *cleaned_up_at);
    }
    ApiError::rejected(rejection, app.clock.now()).errors(places.of(rejection))
}

/// What the log is told of a command.
#[derive(Debug)]
struct Line {
    verb: &'static str,
    started: Instant,
    request_id: Uuid,
    actor: Option<String>,
    staging: Option<String>,
    command_id: Option<Uuid>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            verb: "",
            started: Instant::now(),
            request_id: Uuid::nil(),
            actor: None,
            staging: None,
            command_id: None,
        }
    }
}

impl Line {
    fn write(&self, app: &App, result: &Result<Receipt, ApiError>) {
        let outcome = match result {
            Ok(receipt) if receipt.repeated => "repeated",
            Ok(receipt) if receipt.quiet => "quiet",
            Ok(_) => "accepted",
            Err(error) => error.code().name,
        };
        app.metrics.command(self.verb, outcome);
        // Nothing has happened, and the outage is told as a whole.
        if outcome == codes::UNAVAILABLE.name {
            return;
        }
        let receipt = result.as_ref().ok();
        tracing::info!(
            verb = self.verb,
            staging.name = self.staging,
            command.id = self.command_id.map(tracing::field::display),
            run.id = receipt.and_then(|receipt| receipt.run).map(tracing::field::display),
            event.position = receipt.map(|receipt| receipt.position.0),
            request.id = %self.request_id,
            actor = self.actor,
            outcome,
            duration_ms = self.started.elapsed().as_millis(),
            "command"
        );
    }
}
