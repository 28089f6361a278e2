//! Expands `#[foster::test]`.

use proc_macro::{Span, TokenStream, TokenTree};

use crate::error::{Error, Result, enumerated};
use crate::function::Function;
use crate::settings::{NONE, SIM, Settings};
use crate::template::fill;

/// Makes a module of tests, one for each runtime.
///
/// The function stays where it is, so that its body sees what it saw before. The tests stand in a
/// module of its name, and call it from there. The names of modules and functions do not clash.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let settings = Settings::parse(arguments)?;
    let function = Function::parse("foster::test", item)?;
    let should_panic = should_panic(&function)?;
    let test = |runtime: &String| {
        let test = test(runtime, should_panic, &settings, &function);
        gate(&settings, runtime, test, TokenStream::new())
    };
    let holes = [
        ("attributes", function.attributes(|name| !is_for_tests(name))),
        ("visibility", function.visibility.clone()),
        ("name", function.name()),
        ("output", function.output.clone()),
        ("body", function.body.clone()),
        ("tests", settings.runtimes.iter().flat_map(test).collect()),
        ("unless_none", unless_none(&settings)),
    ];
    // If the function has an odd name, its own attributes have to allow that.
    let template = "
        #[cfg(test)]
        $attributes $visibility async fn $name() $output $body

        #[cfg(test)]
        #[allow(non_snake_case)]
        mod $name { $tests }

        $unless_none";
    Ok(fill(template, function.name.span(), &holes))
}

/// Returns whether an attribute goes to the tests. All others stay with the function.
fn is_for_tests(attribute: &str) -> bool {
    attribute == "should_panic" || attribute == "ignore"
}

/// Returns whether the test should panic, which only a test without an output can say.
fn should_panic(function: &Function) -> Result<bool> {
    let attribute: Vec<TokenTree> = function.attributes(|name| name == "should_panic").into_iter().collect();
    if attribute.is_empty() || function.output.is_empty() {
        return Ok(!attribute.is_empty());
    }
    Err(Error::about(&attribute, Span::call_site(), "a test that `#[should_panic]` must return `()`"))
}

/// Makes one test: `#[test] fn tokio() { .. }`.
fn test(runtime: &str, should_panic: bool, settings: &Settings, function: &Function) -> TokenStream {
    let Settings { seeds, milliseconds, .. } = settings;
    let foster = ("foster", settings.foster.clone());
    let run = match runtime {
        SIM => format!(".explore({seeds}, super::$name)"),
        NONE => ".run_without_runtime(super::$name)".to_string(),
        _ => format!(".run($foster::testing::harness::{runtime}, super::$name)"),
    };
    let template = format!(
        "#[::core::prelude::v1::test]
        $attributes
        fn {runtime}() {{
            $foster::testing::harness::Test::new({milliseconds}, {should_panic}) $run;
        }}"
    );
    let holes = [
        ("attributes", function.attributes(is_for_tests)),
        // This has the span of the output, because the compiler reports there if it does not suit a
        // test.
        ("run", fill(&run, function.output_span(), &[foster.clone(), ("name", function.name())])),
        foster,
    ];
    fill(&template, function.name.span(), &holes)
}

/// Returns `then` if foster has the runtime, and `otherwise` if not.
///
/// Only foster itself knows its features. Its macros `__if_..` take both, and expand to one of
/// them.
fn gate(settings: &Settings, runtime: &str, then: TokenStream, otherwise: TokenStream) -> TokenStream {
    if runtime == SIM || runtime == NONE {
        return then;
    }
    let feature = runtime.trim_end_matches("_multi");
    let template = format!("$foster::__if_{feature}! {{ {{ $then }} {{ $otherwise }} }}");
    let holes = [("foster", settings.foster.clone()), ("then", then), ("otherwise", otherwise)];
    fill(&template, Span::call_site(), &holes)
}

/// Returns an error for the case that foster has none of the runtimes.
fn unless_none(settings: &Settings) -> TokenStream {
    if settings.always_runs() {
        return TokenStream::new();
    }
    let names: Vec<&str> = settings.runtimes.iter().map(String::as_str).collect();
    let features = "whose features of foster are off: switch one on, or add `sim`";
    let message = format!("this test is only for {}, {features}", enumerated(&names));
    let error = Error::at(settings.place, message).into_tokens();
    names.iter().fold(error, |otherwise, name| gate(settings, name, TokenStream::new(), otherwise))
}
