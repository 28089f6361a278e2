//! Reads what stands in the parentheses of an attribute: `runtimes(tokio, sim), seeds = 200`.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use crate::error::{Error, Result};

/// An argument of an attribute, and its value.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

/// The value of an argument.
pub(crate) enum Value {
    /// No value, as in `tokio`.
    None,
    /// A list, as in `runtimes(..)`.
    List(Group),
    /// The tokens after `=`, as in `seeds = ..`.
    Equals(Vec<TokenTree>),
}

impl Argument {
    /// Reads all arguments. Each name may stand once.
    pub(crate) fn parse_all(tokens: TokenStream) -> Result<Vec<Argument>> {
        let mut arguments: Vec<Argument> = Vec::new();
        for tokens in split(tokens) {
            let argument = Argument::parse(&tokens)?;
            let name = argument.name.to_string();
            if arguments.iter().any(|other| other.name.to_string() == name) {
                return Err(Error::at(argument.name.span(), format!("`{name}` is given twice")));
            }
            arguments.push(argument);
        }
        Ok(arguments)
    }

    /// Takes the argument `crate = my::foster` out, and returns the path of foster.
    pub(crate) fn take_foster(arguments: &mut Vec<Argument>) -> Result<TokenStream> {
        match arguments.iter().position(|argument| argument.name.to_string() == "crate") {
            Some(at) => arguments.remove(at).path(),
            None => Ok("::foster".parse().expect("it is a path")),
        }
    }

    fn parse(tokens: &[TokenTree]) -> Result<Argument> {
        let (name, value) = match tokens {
            [TokenTree::Ident(name)] => (name, Value::None),
            [TokenTree::Ident(name), TokenTree::Group(list)] if list.delimiter() == Delimiter::Parenthesis => {
                (name, Value::List(list.clone()))
            }
            [TokenTree::Ident(name), TokenTree::Punct(equals), value @ ..] if equals.as_char() == '=' => {
                (name, Value::Equals(value.to_vec()))
            }
            _ => return Err(Error::about(tokens, Span::call_site(), "expected `name`, `name = value` or `name(..)`")),
        };
        Ok(Argument { name: name.clone(), value })
    }

    /// Returns the value as a list of different names: `(tokio, sim)`.
    pub(crate) fn names(&self) -> Result<Vec<Ident>> {
        let Value::List(list) = &self.value else {
            return Err(self.expected("a list in parentheses"));
        };
        let mut names: Vec<Ident> = Vec::new();
        for tokens in split(list.stream()) {
            let [TokenTree::Ident(name)] = tokens.as_slice() else {
                return Err(Error::about(&tokens, list.span(), "expected a name"));
            };
            if names.iter().any(|other| other.to_string() == name.to_string()) {
                return Err(Error::at(name.span(), format!("`{name}` is given twice")));
            }
            names.push(name.clone());
        }
        Ok(names)
    }

    /// Returns the value as a whole number above 0.
    pub(crate) fn count(&self) -> Result<u64> {
        self.literal(count, "a whole number above 0")
    }

    /// Returns the value as a string.
    pub(crate) fn string(&self) -> Result<String> {
        self.literal(string, "a string")
    }

    /// Returns the value as a path, which may stand in a string.
    fn path(&self) -> Result<TokenStream> {
        let path = match (&self.value, self.string()) {
            (_, Ok(path)) => path.parse().ok(),
            (Value::Equals(value), Err(_)) => Some(value.iter().cloned().collect::<TokenStream>()),
            _ => None,
        };
        path.filter(is_path).ok_or_else(|| self.expected("a path, such as `crate::foster`"))
    }

    fn literal<T>(&self, read: impl FnOnce(&str) -> Option<T>, what: &str) -> Result<T> {
        match &self.value {
            Value::Equals(value) => match value.as_slice() {
                [TokenTree::Literal(literal)] => read(&literal.to_string()),
                _ => None,
            },
            Value::None | Value::List(_) => None,
        }
        .ok_or_else(|| self.expected(what))
    }

    /// Returns an error about the value, or about the name if there is no value.
    pub(crate) fn expected(&self, what: &str) -> Error {
        let message = format!("`{}` expects {what}", self.name);
        match &self.value {
            Value::None => Error::at(self.name.span(), message),
            Value::List(list) => Error::at(list.span(), message),
            Value::Equals(value) => Error::about(value, self.name.span(), message),
        }
    }
}

/// Returns the tokens without the invisible groups in which a macro by example passes a fragment,
/// such as `$n:literal`.
pub(crate) fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let one = |token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => flat(group.stream()),
        token => vec![token],
    };
    tokens.into_iter().flat_map(one).collect()
}

/// Returns the tokens between the commas.
fn split(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let tokens = flat(tokens);
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let mut parts: Vec<_> = tokens.split(is_comma).map(<[_]>::to_vec).collect();
    // The last part is empty after a trailing comma, and where there are no tokens.
    if parts.last().is_some_and(Vec::is_empty) {
        parts.pop();
    }
    parts
}

/// Whether these are names and colons. The compiler sees to the rest.
fn is_path(tokens: &TokenStream) -> bool {
    let is_part = |token| match token {
        TokenTree::Ident(_) => true,
        TokenTree::Punct(punct) => punct.as_char() == ':',
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    };
    !tokens.is_empty() && tokens.clone().into_iter().all(is_part)
}

fn count(literal: &str) -> Option<u64> {
    let digits: String = literal.chars().filter(|&digit| digit != '_').collect();
    digits.parse().ok().filter(|&count| count > 0)
}

/// Returns the content of a string literal without escapes. No argument needs any.
fn string(literal: &str) -> Option<String> {
    let content = literal.strip_prefix('"')?.strip_suffix('"')?;
    (!content.contains('\\')).then(|| content.to_string())
}

#[cfg(test)]
mod tests {
    use super::{count, string};

    #[test]
    fn counts_are_whole_and_above_zero() {
        assert_eq!(count("1_000"), Some(1000));
        for bad in ["0", "1.5", "0x10", "3u8", "\"3\"", "18446744073709551616"] {
            assert_eq!(count(bad), None, "{bad}");
        }
    }

    #[test]
    fn strings_are_plain() {
        assert_eq!(string("\"5s\"").as_deref(), Some("5s"));
        for bad in ["5", "'5'", "b\"5s\"", "r\"5s\"", "\"\\n\"", "\""] {
            assert_eq!(string(bad), None, "{bad}");
        }
    }
}
