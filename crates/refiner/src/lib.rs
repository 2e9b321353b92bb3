//! Floor 2, the mind: from the outcomes of many runs to proposals, and their judgement.
//!
//! Pure. [`find`] looks over many runs for what a single one cannot show; [`admit`] says which proposals may be
//! made at all; [`arm`] and [`judge`] try one out and say whether it made things better; [`follow`] and [`trial_says`] say
//! what that means for the proposals that are there. Where runs and texts are kept, and who asks a model for a better text, is not known here.

mod find;
mod follow;
mod surface;
mod trial;

pub use find::{Culprit, FindSettings, Finding, find};
pub use follow::{Follow, Wanted, advice, follow, may_try, next_to_try, trial_ends, trial_says};
pub use orcha_model::finished::{End, Run, Side, Trouble};
pub use orcha_model::proposal::{Change, Priority};
pub use orcha_model::text::{Kind, Surface};
pub use surface::{Admitted, Draft, Dropped, admit};
pub use trial::{Judgement, TrialSettings, arm, judge, relapsed, tally};
