//! What a turn may take: an estimate of it, the budgets that it must fit under, and what happens where it does not.
//!
//! Before a turn is ordered something is set aside for it, in the turn of the wheel that orders it. At a cap those under
//! way finish, whoever wants more hands back what it has in one last turn, and the user is asked once.

use crate::{Settings, World};
use orcha_model::budget::{HandBack, Purse, Room, Scope};
use orcha_model::session::{State, Turn};
use orcha_model::{Amount, Session, Trip};

/// The cause of the message that asks a session to hand back what it has, without its attempt.
pub(crate) const HAND_BACK: &str = "hand-back:";

/// What turns are expected to take while none was completed, and what is left for handing back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimates {
    /// A turn.
    pub turn: Amount,
    /// A last turn that only reports.
    pub hand_back: Amount,
}

impl Default for Estimates {
    fn default() -> Self {
        Self {
            turn: Amount { tokens: 200_000, micro_usd: 500_000 },
            hand_back: Amount { tokens: 20_000, micro_usd: 50_000 },
        }
    }
}

/// Judges the next turn of a session by all budgets that it falls under: the narrowest answer counts.
pub(crate) fn room(world: &World, session: &Session, settings: &Settings) -> Room {
    let next = estimate(world, session, settings);
    let mut set_aside = next;
    let mut later = None;
    for purse in purses(world, session, settings) {
        match purse.room(next) {
            Room::Fits(amount) => set_aside = set_aside.least(amount),
            Room::Later(trip) => later = Some(trip),
            Room::Never(trip) => return Room::Never(trip),
        }
    }
    later.map_or(Room::Fits(set_aside), Room::Later)
}

/// Tells whether a session can hand back what it has: it has something, was not asked before, and enough is left.
pub(crate) fn can_hand_back(world: &World, session: &Session, settings: &Settings) -> bool {
    let began = session.counters.turns > 0 || session.conversation.is_some();
    session.counters.hand_back == HandBack::NotYet
        && began
        && purses(world, session, settings).all(|it| it.lets_hand_back(settings.estimates.hand_back))
}

/// Tells whether a session is left to finish what it does although a cap was reached: its turn was set aside for, or it
/// is about to hand back what it has.
pub(crate) fn finishes(world: &World, session: &Session, trip: &Trip, settings: &Settings) -> bool {
    let Trip::Budget { .. } = trip else { return false };
    match &session.state {
        State::Starting { .. } | State::Running { turn: Turn::Busy { .. } | Turn::Held { .. }, .. } => {
            session.counters.reserved.is_some()
        }
        State::Running { turn: Turn::Idle { .. }, .. } => match session.counters.hand_back {
            HandBack::Wanted => true,
            HandBack::NotYet if session.counters.reserved.is_some() => true,
            HandBack::NotYet => world.has_queued_message(session.id) && can_hand_back(world, session, settings),
            HandBack::Done => false,
        },
        State::Queued { .. }
        | State::WaitingCapacity { .. }
        | State::WaitingUser { .. }
        | State::Paused
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Canceled { .. } => false,
    }
}

/// What everything of this objective holds, for those who share a budget with it.
pub fn held(world: &World) -> Amount {
    world.sessions.values().map(|it| it.counters.held()).fold(Amount::ZERO, Amount::plus)
}

fn purses<'w>(world: &'w World, session: &'w Session, settings: &Settings) -> impl Iterator<Item = Purse> + 'w {
    let limits = &world.objective.limits;
    let hand_back = settings.estimates.hand_back;
    // What is set aside for it already stands in nobody's way.
    let own = session.counters.held();
    let others = world.sessions.values().filter(|it| it.id != session.id);
    let at_work = others.filter(|it| it.state.holds().is_some() && it.counters.hand_back == HandBack::NotYet);
    let kept = hand_back.times(1 + at_work.count() as u64);
    let of_session = Purse {
        scope: Scope::Session,
        cap: Amount { tokens: limits.session_tokens, micro_usd: limits.session_micro_usd },
        spent: session.counters.spent(),
        held: Amount::ZERO,
        kept: hand_back,
    };
    let of_objective = Purse {
        scope: Scope::Objective,
        cap: Amount { tokens: limits.objective_tokens, micro_usd: limits.objective_micro_usd },
        spent: world.objective.spent(),
        held: held(world).less(own),
        kept,
    };
    let above = world.outlook.purses.iter().map(move |it| Purse {
        spent: it.spent.plus(Amount::of(&world.objective.used)),
        held: it.held.plus(held(world)).less(own),
        kept,
        ..*it
    });
    [of_session, of_objective].into_iter().chain(above).filter(|it| it.cap.caps())
}

/// Expects what turns took on average: of the same role and agent, else of the same agent, else of any.
fn estimate(world: &World, session: &Session, settings: &Settings) -> Amount {
    let average = |alike: &dyn Fn(&Session) -> bool| {
        let mut turns = 0;
        let mut used = Amount::ZERO;
        for it in world.sessions.values().filter(|it| it.counters.turns > 0 && alike(it)) {
            turns += u64::from(it.counters.turns);
            used = used.plus(it.counters.turns_used);
        }
        (turns > 0).then(|| used.over(turns))
    };
    let same_agent = |it: &Session| it.agent.kind == session.agent.kind;
    average(&|it| same_agent(it) && it.role == session.role)
        .or_else(|| average(&same_agent))
        .or_else(|| average(&|_| true))
        .unwrap_or(settings.estimates.turn)
}
