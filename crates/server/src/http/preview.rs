//! What a command would do, with nothing done: the same way as the command's own, up to the append.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use dm_api::{ConfigurationChange, ConfigurationKey, Effect, Execute, Level, Preview, PreviewRequest, Previewed};
use dm_domain::ids::{RunId, StagingName};
use dm_domain::overrides::{Keys, Level as DomainLevel};
use dm_domain::staging::{self, Command, Configuration, Wish};
use uuid::Uuid;

use crate::access::policy;
use crate::app::App;
use crate::error::{ApiError, codes};
use crate::http::asked::Asked;
use crate::http::commands::understanding;
use crate::http::flow::{Judged, judge};
use crate::http::input::Draft;
use crate::http::openapi::PreviewRefusals;
use crate::http::violations::Violations;
use crate::http::{answer, row};

/// Looks ahead at what a command would do
///
/// Nothing is done, and nothing is remembered. What the command would be refused for is refused here, with pointers
/// into `/request`.
#[utoipa::path(
    post, path = "/api/v1/preview", operation_id = "preview_command", tag = "stagings",
    request_body = PreviewRequest,
    responses((status = 200, description = "What would follow.", body = Preview), PreviewRefusals)
)]
pub(crate) async fn preview(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let asked = Asked::read(request).await?;
    let PreviewRequest { command, name, request } = asked.body()?;
    let mut violations = Violations::default();
    match (command, &name) {
        (Previewed::Create, Some(_)) => violations.add("/name", "not_with_create", "must not be given with create"),
        (Previewed::Create, None) | (_, Some(_)) => {}
        (_, None) => violations.add("/name", "missing_field", "must be given"),
    }
    violations.done()?;
    let asked = asked.about(name, request.get());
    let looked = look_ahead(&app, &asked, command).await;
    looked.map_err(|error| {
        error.moved(|pointer| if pointer == "path:name" { "/name".to_owned() } else { format!("/request{pointer}") })
    })
}

async fn look_ahead(app: &App, asked: &Asked, command: Previewed) -> Result<Response, ApiError> {
    let mut violations = Violations::default();
    let draft = understanding(command)(app, asked, &mut violations)?;
    violations.done()?;
    let Some(Draft { staging, wish, places, .. }) = draft else {
        return Err(ApiError::internal("a draft is missing though nothing is wrong with the request"));
    };
    policy::may(asked.identity.role, &wish).map_err(|why| ApiError::new(codes::NOT_ALLOWED, why))?;
    let run = RunId(Uuid::now_v7());
    let mut command = Command { now: app.clock.now(), actor: asked.identity.actor(), run, wish };
    // Taken before the state is loaded: the answer reflects at least this much.
    let position = app.store.head().await?.position;
    let judged = judge(app, &staging, &mut command, &places).await?;
    let mut preview = told(&staging, &command.wish, &judged)?;
    preview.position = position.0;
    if preview.effect == Effect::Run {
        preview.execute = execute(app, &staging, &judged.after).await;
    }
    Ok(answer::read(position, preview))
}

fn told(name: &StagingName, wish: &Wish, judged: &Judged) -> Result<Preview, ApiError> {
    let Judged { before, after, quiet } = judged;
    let effect = match (quiet, wish) {
        (true, _) => Effect::Nothing,
        (false, Wish::Cancel { .. }) => Effect::Cancel,
        (false, _) => Effect::Run,
    };
    let under_way = before.activity();
    let activity = if effect == Effect::Run { after.activity() } else { under_way.clone() };
    let (old, new) = (keys(before.configuration())?, keys(after.configuration())?);
    Ok(Preview {
        staging: name.to_string(),
        effect,
        verb: activity.map(|activity| activity.verb.to_string()),
        run: under_way.map(|activity| activity.run.0),
        status: before.status().map(row::status),
        status_after: after.status().map(row::status),
        tag: before.configuration().map(|configuration| configuration.tag.to_string()),
        tag_after: after.configuration().map(|configuration| configuration.tag.to_string()),
        changes: changes(&old, &new),
        execute: None,
        configuration: new,
        version: before.version().0,
        configuration_version: before.configuration().map(|configuration| configuration.version.0),
        position: 0,
    })
}

async fn execute(app: &App, name: &StagingName, after: &staging::State) -> Option<Execute> {
    let (verb, configuration) = (after.activity()?.verb, after.configuration()?);
    let execution = app.runner.wrappers().execution(verb, name, configuration).await;
    Some(Execute {
        executable: execution.executable.display().to_string(),
        arguments: execution.arguments,
        time_limit_ms: u64::try_from(execution.limit.as_millis()).unwrap_or(u64::MAX),
    })
}

/// All keys of a configuration, as people read them; none of a staging that is not there.
fn keys(configuration: Option<&Configuration>) -> Result<Vec<ConfigurationKey>, ApiError> {
    let Some(Configuration { overrides, effective, .. }) = configuration else { return Ok(Vec::new()) };
    let mut overridden = Keys::default();
    for level in DomainLevel::ALL {
        overridden.at_mut(level).extend(overrides.at(level).keys().cloned());
    }
    row::keys(&overridden, effective)
}

/// What is different, in the order of level and key. That a default has the value of an override is no change.
fn changes(old: &[ConfigurationKey], new: &[ConfigurationKey]) -> Vec<ConfigurationChange> {
    let mut sides: BTreeMap<(Level, &str), [Option<&ConfigurationKey>; 2]> = BTreeMap::new();
    for (side, keys) in [old, new].into_iter().enumerate() {
        for key in keys.iter().filter(|key| key.text.is_some() || key.json.is_some() || key.secret) {
            sides.entry((key.level, &key.key)).or_default()[side] = Some(key);
        }
    }
    let value = |key: &ConfigurationKey| (key.text.clone(), key.json.as_ref().map(|json| json.get().to_owned()));
    let differs = |[before, after]: &[Option<&ConfigurationKey>; 2]| before.map(value) != after.map(value);
    sides
        .into_iter()
        .filter(|(_, sides)| differs(sides))
        .map(|((level, key), [before, after])| ConfigurationChange {
            level,
            key: key.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        })
        .collect()
}
