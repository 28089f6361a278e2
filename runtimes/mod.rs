//! Adapters: one runtime each, one type each, behind the feature of the same name.
