//! Transactions on a server that runs. Without `DATABASE_URL`, nothing is tested.

mod connections;
mod database;
mod storm;
mod transactions;
