//! `#[foster::test]`

use proc_macro::{Ident, Literal, Span, TokenStream, TokenTree};

use crate::arguments::Argument;
use crate::error::{Error, Result, enumerated};
use crate::function::Function;
use crate::template::fill;

/// All runtimes; a feature of foster stands behind each but the last.
const RUNTIMES: [&str; 6] = ["tokio", "tokio_multi", "smol", "async_std", "basic", SIM];
const SIM: &str = "sim";

/// How many seeds a test runs with, and how many milliseconds it may take, unless it says otherwise.
const SEEDS: u64 = 20;
const TIMEOUT: u64 = 30_000;

/// The function stays where it is, so that its body sees what it saw before. The tests stand in a module of its name, which
/// the name of a function does not clash with, and call it from there.
pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let settings = Settings::parse(arguments)?;
    let function = Function::parse("foster::test", item)?;
    let mut expanded = settings.check_features();
    expanded.extend(kept(&function));
    expanded.extend(tests(&settings, &function)?);
    Ok(expanded)
}

struct Settings {
    runtimes: Vec<Ident>,
    /// The list of runtimes, if there is one.
    asked: Option<Span>,
    seeds: u64,
    /// In milliseconds.
    timeout: u64,
}

impl Settings {
    fn parse(arguments: TokenStream) -> Result<Settings> {
        let runtimes = RUNTIMES.map(|name| Ident::new(name, Span::call_site())).to_vec();
        let mut settings = Settings { runtimes, asked: None, seeds: SEEDS, timeout: TIMEOUT };
        let mut seeds = None;
        for argument in Argument::parse_all(arguments)? {
            match argument.name.to_string().as_str() {
                "runtimes" => settings.choose(&argument)?,
                "seeds" => {
                    settings.seeds = argument.count()?;
                    seeds = Some(argument.name);
                }
                "timeout" => {
                    let expected = || argument.expected("a time above 0 in \"ms\", \"s\" or \"m\", such as \"5s\"");
                    settings.timeout =
                        argument.string().ok().and_then(|text| milliseconds(&text)).ok_or_else(expected)?;
                }
                other => {
                    let known = "there are `runtimes(..)`, `seeds = 200` and `timeout = \"5s\"`";
                    return Err(Error::at(argument.name.span(), format!("unknown argument `{other}`: {known}")));
                }
            }
        }
        match seeds {
            Some(seeds) if !settings.has_sim() => {
                Err(Error::at(seeds.span(), "`seeds` is for `sim`, which is not among the runtimes of this test"))
            }
            _ => Ok(settings),
        }
    }

    fn choose(&mut self, argument: &Argument) -> Result<()> {
        let names = argument.names()?;
        if names.is_empty() {
            return Err(argument.expected(&format!("at least one of {}", enumerated(&RUNTIMES))));
        }
        for name in &names {
            if !RUNTIMES.contains(&name.to_string().as_str()) {
                let known = enumerated(&RUNTIMES);
                return Err(Error::at(name.span(), format!("unknown runtime `{name}`: there are {known}")));
            }
        }
        self.asked = Some(argument.name.span());
        self.runtimes = names;
        Ok(())
    }

    fn has_sim(&self) -> bool {
        self.runtimes.iter().any(|name| name.to_string() == SIM)
    }

    /// Code that fails to compile where foster has none of the runtimes.
    ///
    /// What foster has is its own to know: the macros `__if_..` of foster take what is to stand there if it has a runtime,
    /// and what otherwise.
    fn check_features(&self) -> TokenStream {
        if self.has_sim() {
            return TokenStream::new();
        }
        let names: Vec<String> = self.runtimes.iter().map(Ident::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = format!("this test is for {} alone: switch the feature on, or add `sim`", enumerated(&names));
        let none = Error::at(self.asked.unwrap_or_else(Span::call_site), message).into_tokens();
        self.runtimes.iter().fold(none, |otherwise, name| gate(name, TokenStream::new(), otherwise))
    }
}

/// `then` if foster has the runtime, or `otherwise`.
fn gate(runtime: &Ident, then: TokenStream, otherwise: TokenStream) -> TokenStream {
    let name = runtime.to_string();
    if name == SIM {
        return then;
    }
    let feature = name.trim_end_matches("_multi");
    let gate = TokenTree::from(Ident::new(&format!("__if_{feature}"), Span::call_site())).into();
    let holes = [("gate", gate), ("then", then), ("otherwise", otherwise)];
    fill("::foster::$gate! { { $then } { $otherwise } }", runtime.span(), &holes)
}

/// The user's function, without what belongs to the tests.
fn kept(function: &Function) -> TokenStream {
    let attributes = function.attributes.iter().filter(|attribute| !is_for_tests(&attribute.name));
    let holes = [
        ("attributes", attributes.flat_map(|attribute| attribute.tokens.clone()).collect()),
        ("visibility", function.visibility.clone()),
        ("name", TokenTree::from(function.name.clone()).into()),
        ("output", function.output.clone()),
        ("body", function.body.clone()),
    ];
    fill("#[cfg(test)] $attributes $visibility async fn $name() $output $body", function.name.span(), &holes)
}

fn is_for_tests(attribute: &str) -> bool {
    attribute == "should_panic" || attribute == "ignore"
}

fn tests(settings: &Settings, function: &Function) -> Result<TokenStream> {
    let should_panic = function.attributes.iter().find(|attribute| attribute.name == "should_panic");
    if let (Some(attribute), false) = (should_panic, function.output.is_empty()) {
        let tokens: Vec<TokenTree> = attribute.tokens.clone().into_iter().collect();
        let message = "a test that `#[should_panic]` must return `()`";
        return Err(Error::about(&tokens, function.name.span(), message));
    }
    let attributes = function.attributes.iter().filter(|attribute| is_for_tests(&attribute.name));
    let attributes: TokenStream = attributes.flat_map(|attribute| attribute.tokens.clone()).collect();
    let tests = settings.runtimes.iter().flat_map(|runtime| {
        let test = test(runtime, settings, function, &attributes, should_panic.is_some());
        gate(runtime, test, TokenStream::new())
    });
    let holes = [("name", TokenTree::from(function.name.clone()).into()), ("tests", tests.collect())];
    // The function's own odd name is for its own attributes to allow.
    Ok(fill("#[cfg(test)] #[allow(non_snake_case)] mod $name { $tests }", function.name.span(), &holes))
}

/// `#[test] fn tokio() { .. }`
fn test(
    runtime: &Ident,
    settings: &Settings,
    function: &Function,
    attributes: &TokenStream,
    should_panic: bool,
) -> TokenStream {
    let run = match runtime.to_string() == SIM {
        true => ".explore($seeds, $test)",
        false => ".run(::foster::testing::harness::$runtime, $test)",
    };
    let template = format!(
        "#[::core::prelude::v1::test] $attributes fn $runtime() {{
            ::foster::testing::harness::Test::new($milliseconds, $should_panic){run};
        }}"
    );
    let number = |number: u64| TokenTree::from(Literal::u64_unsuffixed(number)).into();
    let should_panic = Ident::new(if should_panic { "true" } else { "false" }, Span::call_site());
    let name = Ident::new(&runtime.to_string(), function.name.span().resolved_at(Span::call_site()));
    let holes = [
        ("attributes", attributes.clone()),
        ("runtime", TokenTree::from(name).into()),
        ("milliseconds", number(settings.timeout)),
        ("should_panic", TokenTree::from(should_panic).into()),
        ("seeds", number(settings.seeds)),
        ("test", path(function)),
    ];
    fill(&template, function.name.span(), &holes)
}

/// `super::name`, at the place of the output: there the compiler complains if that is none for a test.
fn path(function: &Function) -> TokenStream {
    // After the two tokens of `->`.
    let output = function.output.clone().into_iter().nth(2);
    let place = output.map_or(function.name.span(), |output| output.span());
    let mut name = function.name.clone();
    name.set_span(name.span().located_at(place));
    fill("super::$name", place, &[("name", TokenTree::from(name).into())])
}

/// `5s`, `500ms`, `2m`
fn milliseconds(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit).filter(|&milliseconds| milliseconds > 0)
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_have_a_unit_and_are_above_zero() {
        assert_eq!(milliseconds("250ms"), Some(250));
        assert_eq!(milliseconds("5s"), Some(5_000));
        assert_eq!(milliseconds("2m"), Some(120_000));
        for bad in ["", "5", "s", "5 s", "0s", "1.5s", "-1s", "5h", "5S", "18446744073709551615m"] {
            assert_eq!(milliseconds(bad), None, "{bad}");
        }
    }
}
