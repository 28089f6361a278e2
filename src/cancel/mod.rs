//! Cancellation. (essay to come)

mod region;
mod regions;
mod shield;
mod until;

pub use crate::token::{Cancelled, Reason, Token, WaitCancelled};
pub(crate) use region::Region;
pub(crate) use regions::Regions;
pub use shield::{Adopt, Shield, adopt, shield};
pub use until::UntilCancelled;
