//! A child's cell, which holds its future and then its value, and the ends that reach it.
//!
//! A [`cell`] is one allocation, owned by the two ends of a [`pair`]: whoever runs the child, and
//! whoever reads its value. A scope reaches the children that it has given to a runtime by a third
//! end, a [`remote`], and counts them as a [`crew`]. What a scope shares with all of them is a
//! [`hub`]. What a child calls can ask for the child's [name](polled), and whether that is to end,
//! by its [`mark`].

#![allow(unsafe_code)]

pub(crate) mod cell;
pub(crate) mod crew;
mod header;
pub(crate) mod hub;
pub(crate) mod mark;
pub(crate) mod pair;
pub(crate) mod polled;
pub(crate) mod remote;
pub(crate) mod unit;
