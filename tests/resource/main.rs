//! Resources, and their release.
//!
//! A test is written once, with `#[foster::test]`, for every runtime.
