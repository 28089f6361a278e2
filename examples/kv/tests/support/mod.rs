//! What the tests share.
#![allow(dead_code, reason = "each program that has this file uses a part of it")]

pub(crate) mod cluster;
pub(crate) mod history;
pub(crate) mod linearizable;
