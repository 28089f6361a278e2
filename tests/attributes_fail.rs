//! What the attributes refuse, and the words and the place in which they say so.

#[test]
fn bad_input_is_refused_where_it_stands() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/attributes_fail/*.rs");
    if cfg!(not(feature = "tokio")) {
        cases.compile_fail("tests/attributes_fail/without_tokio/*.rs");
    }
}
