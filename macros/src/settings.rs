//! Reads the arguments of `#[foster::test]`.

use proc_macro::{Span, TokenStream};

use crate::arguments::Argument;
use crate::error::{Error, Result, enumerated};

/// All runtimes, and none. Each but the last two has a feature of foster.
const RUNTIMES: [&str; 7] = ["tokio", "tokio_multi", "smol", "async_std", "basic", SIM, NONE];
pub(crate) const SIM: &str = "sim";
pub(crate) const NONE: &str = "none";

/// The runtimes of a test, and how long it may take.
pub(crate) struct Settings {
    /// The path of foster.
    pub(crate) foster: TokenStream,
    pub(crate) runtimes: Vec<String>,
    /// The place of the list of runtimes, or that of the attribute.
    pub(crate) place: Span,
    pub(crate) seeds: u64,
    pub(crate) milliseconds: u64,
}

impl Settings {
    pub(crate) fn parse(arguments: TokenStream) -> Result<Settings> {
        // `none` is only tested on demand, because what holds on every runtime may not hold without
        // one.
        let runtimes = RUNTIMES.iter().filter(|&&name| name != NONE).map(|name| name.to_string()).collect();
        let mut arguments = Argument::parse_all(arguments)?;
        let foster = Argument::take_foster(&mut arguments)?;
        let mut settings = Settings { foster, runtimes, place: Span::call_site(), seeds: 20, milliseconds: 30_000 };
        for argument in &arguments {
            settings.set(argument)?;
        }
        match arguments.iter().find(|argument| argument.name.to_string() == "seeds") {
            Some(seeds) if !settings.has_sim() => {
                let message = "`seeds` is for `sim`, which is not among the runtimes of this test";
                Err(Error::at(seeds.name.span(), message))
            }
            _ => Ok(settings),
        }
    }

    pub(crate) fn has_sim(&self) -> bool {
        self.runtimes.iter().any(|name| name == SIM)
    }

    /// Returns whether the test runs on something that no feature switches off.
    pub(crate) fn always_runs(&self) -> bool {
        self.has_sim() || self.runtimes.iter().any(|name| name == NONE)
    }

    fn set(&mut self, argument: &Argument) -> Result<()> {
        match argument.name.to_string().as_str() {
            "runtimes" => {
                self.runtimes = runtimes(argument)?;
                self.place = argument.name.span();
            }
            "seeds" => self.seeds = argument.count()?,
            "timeout" => {
                let expected = || argument.expected("a time above 0 in \"ms\", \"s\" or \"m\", such as \"5s\"");
                let time = argument.string().ok().and_then(|text| milliseconds(&text));
                self.milliseconds = time.ok_or_else(expected)?;
            }
            other => {
                let known = "there are `runtimes(..)`, `seeds = 200`, `timeout = \"5s\"` and `crate = path`";
                return Err(Error::at(argument.name.span(), format!("unknown argument `{other}`: {known}")));
            }
        }
        Ok(())
    }
}

fn runtimes(argument: &Argument) -> Result<Vec<String>> {
    let names = argument.names()?;
    if names.is_empty() {
        return Err(argument.expected(&format!("one or more of {}", enumerated(&RUNTIMES))));
    }
    let known = |name: &proc_macro::Ident| {
        let text = name.to_string();
        if RUNTIMES.contains(&text.as_str()) {
            return Ok(text);
        }
        let message = format!("unknown runtime `{text}`: there are {}", enumerated(&RUNTIMES));
        Err(Error::at(name.span(), message))
    };
    names.iter().map(known).collect()
}

/// Reads a time such as `5s`, `500ms` or `2m`.
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
