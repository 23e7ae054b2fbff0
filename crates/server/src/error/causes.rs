//! From the errors of the parts behind the handlers to refusals.

use std::borrow::Cow;

use dm_api::UnderWay;
use dm_domain::staging::{Rejection, Timestamp};
use dm_eventstore::{AppendError, DecodeError, ReadError, TransactError};
use dm_projector::ProjectionError;

use crate::error::{ApiError, Code, codes};
use crate::runner::{Program, WrapperError};

/// The SQLSTATE of a database that has no room.
const DISK_FULL: &str = "53100";

impl ApiError {
    /// A reasoned no. `now` is the database's time: it says how long what is in the way has been there.
    pub(crate) fn rejected(rejection: &Rejection, now: Timestamp) -> Self {
        let mut error = Self::new(code_of(rejection), rejection.to_string());
        error.0.hint = rejection.hint().map(str::to_owned);
        if let Rejection::Busy { run, verb, by, since } = rejection {
            error.0.run = Some(*run);
            error.0.under_way = Some(UnderWay {
                verb: verb.to_string(),
                by: by.to_string(),
                since: *since,
                age_ms: (now - since).num_milliseconds().max(0),
            });
        }
        if let Rejection::EditConflict { theirs, .. } = rejection {
            error.0.version = Some(*theirs);
        }
        if let Rejection::NotFound { cleaned_up_at } = rejection {
            error.0.cleaned_up_at = *cleaned_up_at;
        }
        error
    }

    /// A wrapper that is asked gave no answer; `code` says which, unless none is asked because `init` has not ended well.
    pub(crate) fn wrapper(code: Code, error: &WrapperError) -> Self {
        let code = if error.wrapper == Program::Init { codes::INIT_UNFINISHED } else { code };
        Self::new(code, error.to_string()).retry_after(10)
    }

    /// A command that was not carried out, or whose end is not known.
    pub(crate) fn not_transacted(error: TransactError, now: Timestamp) -> Self {
        match error {
            TransactError::Rejected(rejection) => Self::rejected(&rejection, now),
            TransactError::KeyReused => key_reused(),
            TransactError::Contended => {
                Self::new(codes::CONTENDED, "others were faster, again and again; nothing was changed").retry_after(1)
            }
            TransactError::Overloaded => overloaded(),
            TransactError::Unreadable(source) => Self::from(source),
            TransactError::Unavailable(source) => unavailable(&source),
            TransactError::Unknown(source) => outcome_unknown().because(source),
            error @ TransactError::Lease => Self::internal(error),
        }
    }
}

/// The code of a rejection; its name is the rejection's own.
fn code_of(rejection: &Rejection) -> Code {
    match rejection {
        Rejection::NotFound { .. } => codes::STAGING_NOT_FOUND,
        Rejection::Exists { .. } => codes::STAGING_EXISTS,
        Rejection::WrongStatus { .. } => codes::WRONG_STATUS,
        Rejection::Busy { .. } => codes::BUSY,
        Rejection::OtherRun { .. } => codes::OTHER_RUN,
        Rejection::ForcedCleanup => codes::FORCED_CLEANUP,
        Rejection::TooYoung { .. } => codes::TOO_YOUNG,
        Rejection::UnknownBase { .. } => codes::UNKNOWN_BASE,
        Rejection::EditConflict { .. } => codes::EDIT_CONFLICT,
        Rejection::KeyConflict { .. } => codes::KEY_CONFLICT,
        Rejection::KeyTwice { .. } => codes::KEY_TWICE,
        Rejection::TooManyOverrides { .. } => codes::TOO_MANY_OVERRIDES,
        Rejection::ConfigurationTooLarge { .. } => codes::CONFIGURATION_TOO_LARGE,
        Rejection::InvalidValue { .. } => codes::INVALID_VALUE,
        Rejection::Stale { .. } => codes::STALE_RUN,
    }
}

impl From<AppendError> for ApiError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::KeyReused => key_reused(),
            AppendError::Overloaded => overloaded(),
            AppendError::Unavailable(source) => unavailable(&source),
            AppendError::Unknown(source) => outcome_unknown().because(source),
            error @ (AppendError::Conflict { .. } | AppendError::Lease) => Self::internal(error),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(source) => unavailable(&source),
            ReadError::Decode(source) => Self::from(source),
        }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        Self::new(codes::UNREADABLE, format!("{error}, so this `dms` neither shows nor changes what depends on it"))
            .hint("use a newer dms")
            .retry_after(60)
    }
}

impl From<ProjectionError> for ApiError {
    fn from(error: ProjectionError) -> Self {
        match error {
            ProjectionError::Unavailable(source) => unavailable(&source),
            error @ (ProjectionError::Behind { .. } | ProjectionError::TimedOut) => {
                Self::new(codes::BEHIND, error.to_string()).retry_after(1)
            }
            ProjectionError::Log(source) => source.into(),
            ProjectionError::Damaged { source, .. } => Self::internal(source),
            error @ ProjectionError::Unknown(_) => Self::internal(error),
        }
    }
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        unavailable(&error)
    }
}

/// The command may or may not have been carried out.
pub(crate) fn outcome_unknown() -> ApiError {
    ApiError::new(codes::OUTCOME_UNKNOWN, "it is not known yet whether the command was carried out")
        .hint(
            "send the same request with the same Idempotency-Key: it tells; without one, look at the staging's events",
        )
        .retry_after(5)
}

/// What this `dms` does not begin, or cannot end, because it stops: another replica does it, or this one once it is back.
pub(crate) fn stopping() -> ApiError {
    ApiError::new(codes::STOPPING, "this dms stops; nothing was changed").retry_after(1)
}

fn key_reused() -> ApiError {
    ApiError::new(codes::KEY_REUSED, "the Idempotency-Key was used for another request").hint("take a fresh key")
}

fn overloaded() -> ApiError {
    ApiError::new(codes::OVERLOADED, "too many commands are waiting; nothing was changed").retry_after(1)
}

fn unavailable(source: &sqlx::Error) -> ApiError {
    if is_our_fault(source) {
        return ApiError::internal(source);
    }
    let detail = match state(source).as_deref() {
        Some(DISK_FULL) => "the disk of the database is full; nothing was changed",
        Some(_) | None => "the database is not available; nothing was changed",
    };
    ApiError::new(codes::UNAVAILABLE, detail).retry_after(5).because(source)
}

/// Whether the database answered, and what it has against is what `dms` sent: data that it cannot take, a rule that is
/// broken, a statement that is wrong (SQLSTATE classes 22, 23 and 42). Waiting does not mend that.
fn is_our_fault(error: &sqlx::Error) -> bool {
    state(error).is_some_and(|state| ["22", "23", "42"].iter().any(|class| state.starts_with(class)))
}

/// The SQLSTATE of an answer of the database.
fn state(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code)
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::sync::Arc;

    use sqlx::error::{DatabaseError, ErrorKind};

    use dm_domain::ids::{Actor, Key, Version};
    use dm_domain::overrides::Level;
    use dm_domain::staging::{Status, Verb};

    use axum::http::header;
    use axum::response::IntoResponse;
    use chrono::{DateTime, Utc};
    use dm_domain::ids::RunId;
    use uuid::Uuid;

    use super::*;

    fn every_rejection() -> Vec<Rejection> {
        let key = |text| Key::parse(text).expect("it is a key");
        let (run, now) = (RunId(Uuid::nil()), DateTime::<Utc>::UNIX_EPOCH);
        let invalid = Key::parse("").expect_err("it is no key");
        vec![
            Rejection::NotFound { cleaned_up_at: Some(now) },
            Rejection::Exists { status: Status::Running },
            Rejection::WrongStatus { verb: "update", status: Status::Archived, hint: Some("restore it") },
            Rejection::Busy { run, verb: Verb::Create, by: Actor::system(), since: now },
            Rejection::OtherRun { named: run, under_way: run },
            Rejection::ForcedCleanup,
            Rejection::TooYoung { archived_at: now, wanted: std::time::Duration::ZERO },
            Rejection::UnknownBase { base: Version(1) },
            Rejection::EditConflict { what: "tag".to_owned(), theirs: Version(1) },
            Rejection::KeyConflict { level: Level::App, parent: key("a"), child: key("a.b") },
            Rejection::KeyTwice { level: Level::App, key: key("a") },
            Rejection::TooManyOverrides { count: 501, max: 500 },
            Rejection::ConfigurationTooLarge { size: 2, max: 1 },
            Rejection::InvalidValue { level: Level::App, key: key("a"), invalid },
            Rejection::Stale { run },
        ]
    }

    #[test]
    fn a_rejection_keeps_its_code_and_gets_a_status_of_its_kind() {
        for rejection in every_rejection() {
            let problem = ApiError::rejected(&rejection, DateTime::<Utc>::UNIX_EPOCH).problem(Uuid::nil());
            assert_eq!(problem.code, rejection.code());
            let status = match (&rejection, rejection.is_invalid_input()) {
                (_, true) => 400,
                (Rejection::NotFound { .. }, false) => 404,
                (_, false) => 409,
            };
            assert_eq!(problem.status, status, "{}", problem.code);
            assert_eq!(problem.hint.as_deref(), rejection.hint());
        }
    }

    #[test]
    fn what_is_busy_says_for_how_long() {
        let (run, since) = (RunId(Uuid::nil()), DateTime::<Utc>::UNIX_EPOCH);
        let busy = Rejection::Busy { run, verb: Verb::Delete, by: Actor::system(), since };
        let at = |millis| ApiError::rejected(&busy, since + chrono::TimeDelta::milliseconds(millis));
        let under_way = |millis| at(millis).problem(Uuid::nil()).under_way.expect("it is busy");
        assert_eq!((under_way(1_500).age_ms, under_way(1_500).verb.as_str()), (1_500, "delete"));
        assert_eq!(under_way(-3).age_ms, 0, "the clock may be behind by a little");
    }

    #[test]
    fn what_can_be_tried_again_says_when() {
        for code in codes::ALL {
            assert_eq!(
                matches!(code.status.as_u16(), 429 | 503),
                [
                    codes::OVERLOADED,
                    codes::UNAVAILABLE,
                    codes::OUTCOME_UNKNOWN,
                    codes::CONTENDED,
                    codes::BEHIND,
                    codes::UNREADABLE,
                    codes::TIMED_OUT,
                    codes::STOPPING,
                    codes::DEFAULTS_UNAVAILABLE,
                    codes::CONFIG_CHECK_UNAVAILABLE,
                    codes::TAGS_UNAVAILABLE,
                    codes::INIT_UNFINISHED,
                ]
                .contains(code),
                "{}",
                code.name
            );
        }
        let errors = [
            ApiError::not_transacted(TransactError::Overloaded, DateTime::<Utc>::UNIX_EPOCH),
            ApiError::not_transacted(TransactError::Contended, DateTime::<Utc>::UNIX_EPOCH),
            ApiError::not_transacted(
                TransactError::Unavailable(Arc::new(sqlx::Error::PoolTimedOut)),
                DateTime::<Utc>::UNIX_EPOCH,
            ),
            ApiError::not_transacted(
                TransactError::Unknown(Arc::new(sqlx::Error::PoolTimedOut)),
                DateTime::<Utc>::UNIX_EPOCH,
            ),
            ApiError::from(ProjectionError::TimedOut),
            stopping(),
        ];
        for error in errors {
            assert!(error.into_response().headers().contains_key(header::RETRY_AFTER));
        }
    }

    /// What a database answers with this SQLSTATE.
    #[derive(Debug)]
    struct Answered(&'static str);

    impl fmt::Display for Answered {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Answered {}

    impl DatabaseError for Answered {
        fn message(&self) -> &str {
            self.0
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    #[test]
    fn what_the_database_has_against_a_statement_is_a_fault_of_dms_and_no_outage() {
        let code = |state| ApiError::from(sqlx::Error::Database(Box::new(Answered(state)))).code();
        for ours in ["22P05", "23505", "42P01"] {
            assert_eq!(code(ours), codes::INTERNAL, "{ours}");
        }
        for theirs in ["57P01", "53100", "08006", "40001"] {
            assert_eq!(code(theirs), codes::UNAVAILABLE, "{theirs}");
        }
    }

    #[test]
    fn a_full_disk_is_told() {
        let detail =
            |state| ApiError::from(sqlx::Error::Database(Box::new(Answered(state)))).problem(Uuid::nil()).detail;
        assert!(detail(DISK_FULL).contains("the disk of the database is full"));
        assert!(!detail("53300").contains("disk"));
    }

    #[test]
    fn what_is_internal_stays_inside() {
        let problem = ApiError::internal("the password is 123").problem(Uuid::nil());
        assert!(!serde_json::to_string(&problem).expect("it can be written").contains("123"));
    }
}
