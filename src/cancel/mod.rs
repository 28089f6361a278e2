//! Cancellation. (essay to come)

mod region;
mod shield;
mod until;

pub use crate::token::{Cancelled, Reason, Token, WaitCancelled};
pub(crate) use region::Region;
pub use shield::{Adopt, Shield, adopt, shield};
pub use until::UntilCancelled;
