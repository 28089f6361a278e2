//! Conformance: of the adapters that foster brings along, of two that it does not, and of broken
//! ones.

mod adapters;
mod executor;
mod flaws;
mod local_set;
mod networks;
