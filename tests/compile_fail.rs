//! Programs that must not compile, and what the compiler (Rust 1.95) says to whoever writes them.

#[test]
fn what_would_break_a_promise_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
