//! Who may do what: one function, deny by default.
//!
//! Knows roles and wishes. What a staging's state allows is the domain's to say.

use dm_domain::staging::Wish;

use crate::access::identity::Role;

/// Whether a role may have a wish carried out; if not, why.
pub(crate) fn may(role: Role, wish: &Wish) -> Result<(), &'static str> {
    match (role, wish) {
        (Role::Viewer, _) => Err("the role viewer may not change anything"),
        (Role::User, Wish::Cleanup { force: true, .. }) => {
            Err("only the role admin may clean up with force; delete it first, and clean it up then")
        }
        (
            Role::User | Role::Admin,
            Wish::Create(_)
            | Wish::Update(_)
            | Wish::Restore(_)
            | Wish::Apply { .. }
            | Wish::Delete { .. }
            | Wish::Cleanup { .. }
            | Wish::Retry { .. }
            | Wish::Cancel { .. },
        ) => Ok(()),
        (
            Role::User | Role::Admin,
            Wish::StartRun(_)
            | Wish::FinishRun { .. }
            | Wish::InterruptRun { .. }
            | Wish::ReportCheck(_)
            | Wish::ReportLinks { .. },
        ) => Err("only dms itself reports on runs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_only_look_changes_nothing() {
        let cancel = Wish::Cancel { run: None };
        assert!(may(Role::Viewer, &cancel).is_err());
        assert_eq!(may(Role::User, &cancel), Ok(()));
        assert_eq!(may(Role::Admin, &cancel), Ok(()));
    }

    #[test]
    fn force_is_for_admins() {
        let cleanup = |force| Wish::Cleanup { force, archived_for: None };
        assert_eq!(may(Role::User, &cleanup(false)), Ok(()));
        assert!(may(Role::User, &cleanup(true)).is_err());
        assert_eq!(may(Role::Admin, &cleanup(true)), Ok(()));
    }

    #[test]
    fn nobody_reports_in_the_place_of_dms() {
        use dm_domain::ids::RunId;
        use dm_domain::staging::event::Interruption;
        let report = Wish::InterruptRun { run: RunId(uuid::Uuid::nil()), attempt: 1, reason: Interruption::OwnerLost };
        assert!(may(Role::Admin, &report).is_err());
    }
}
