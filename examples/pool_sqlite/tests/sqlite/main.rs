//! Transactions on SQLite.

mod database;
mod storm;
mod transactions;
