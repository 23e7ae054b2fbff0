//! The shape of every decision in DM: state, command, events. Knows no staging.

/// A pure state machine over facts.
///
/// There is no `self`: with nothing to inject there is nothing impure to inject.
pub trait Decider {
    /// The fold of a stream's events; never stored.
    type State;
    /// A wish, which may be refused.
    type Command;
    /// A fact in the past tense.
    type Event;
    /// A fact together with what the log knows of it: its version, time and actor.
    type Recorded;
    /// The reasoned refusal of a wish.
    type Rejection;

    /// The state of a stream without events.
    fn initial() -> Self::State;

    /// The events that fulfil `command`; none when everything is already so.
    fn decide(state: &Self::State, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// The state after one more fact. Total: a fact has happened, so it is never refused.
    fn evolve(state: Self::State, recorded: &Self::Recorded) -> Self::State;
}

/// Folds recorded events onto a state, oldest first.
pub fn fold<'a, D: Decider>(state: D::State, recorded: impl IntoIterator<Item = &'a D::Recorded>) -> D::State
where
    D::Recorded: 'a,
{
    recorded.into_iter().fold(state, D::evolve)
}
