//! Floor 2, the mind: from the outcomes of many runs to proposals, and their judgement.
//!
//! Pure. [`find`] looks over many runs for what a single one cannot show; [`admit`] says which proposals may be
//! made at all; [`arm`] and [`judge`] try one out and say whether it made things better. Where runs and texts are
//! kept, and who asks a model for a better text, is not known here.

mod find;
mod run;
mod surface;
mod trial;

pub use find::{Culprit, FindSettings, Finding, find};
pub use run::{End, Run, Trouble};
pub use surface::{Admitted, Change, Draft, Dropped, Kind, Priority, Surface, admit};
pub use trial::{Arm, Judgement, TrialSettings, arm, judge, relapsed};
