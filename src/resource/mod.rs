//! Resources: what is acquired with `.await`, and has to be released with `.await`.
