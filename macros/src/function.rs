//! Reads the `async fn` below an attribute.

use proc_macro::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};

use crate::arguments::flat;
use crate::error::{Error, Result};

/// An `async fn` without arguments, in parts that keep their spans.
pub(crate) struct Function {
    attributes: Vec<Attribute>,
    pub(crate) visibility: TokenStream,
    pub(crate) name: Ident,
    /// `-> Output`, or nothing.
    pub(crate) output: TokenStream,
    pub(crate) body: TokenStream,
}

/// One attribute of the function: `#[name ..]`.
struct Attribute {
    name: String,
    tokens: TokenStream,
}

impl Function {
    /// Reads `item`, which stands below `attribute`.
    pub(crate) fn parse(attribute: &str, item: TokenStream) -> Result<Function> {
        let mut reader = Reader { attribute, tokens: item.into_iter().collect(), next: 0 };
        let attributes = reader.attributes();
        let visibility = reader.visibility();
        reader.qualifiers()?;
        let name = reader.name()?;
        reader.no_arguments(&name)?;
        let (output, body) = reader.output_and_body(&name)?;
        Ok(Function { attributes, visibility, name, output, body })
    }

    pub(crate) fn name(&self) -> TokenStream {
        TokenTree::from(self.name.clone()).into()
    }

    /// Returns the attributes whose name is `wanted`.
    pub(crate) fn attributes(&self, wanted: impl Fn(&str) -> bool) -> TokenStream {
        let attributes = self.attributes.iter().filter(|attribute| wanted(&attribute.name));
        attributes.flat_map(|attribute| attribute.tokens.clone()).collect()
    }

    /// Returns the span of the output's type, or that of the name if there is no output.
    pub(crate) fn output_span(&self) -> Span {
        let output = self.output.clone().into_iter().nth("->".len());
        output.map_or(self.name.span(), |output| output.span())
    }
}

/// Reads the parts of a function, one after the other.
struct Reader<'a> {
    attribute: &'a str,
    tokens: Vec<TokenTree>,
    next: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &[TokenTree] {
        &self.tokens[self.next..]
    }

    fn take(&mut self, count: usize) -> &[TokenTree] {
        let taken = &self.tokens[self.next..self.next + count];
        self.next += count;
        taken
    }

    fn attributes(&mut self) -> Vec<Attribute> {
        let mut attributes = Vec::new();
        while let [TokenTree::Punct(hash), TokenTree::Group(group), ..] = self.rest() {
            if hash.as_char() != '#' {
                break;
            }
            let name = flat(group.stream()).first().map(TokenTree::to_string).unwrap_or_default();
            attributes.push(Attribute { name, tokens: self.take(2).iter().cloned().collect() });
        }
        attributes
    }

    fn visibility(&mut self) -> TokenStream {
        let count = match self.rest() {
            // A visibility that a macro by example passes as `$vis`.
            [TokenTree::Group(group), ..] if group.delimiter() == Delimiter::None => 1,
            [TokenTree::Ident(word), TokenTree::Group(within), ..]
                if is(word, "pub") && within.delimiter() == Delimiter::Parenthesis =>
            {
                2
            }
            [TokenTree::Ident(word), ..] if is(word, "pub") => 1,
            _ => 0,
        };
        self.take(count).iter().cloned().collect()
    }

    /// Reads `async fn`.
    fn qualifiers(&mut self) -> Result<()> {
        let attribute = self.attribute;
        match self.rest() {
            [TokenTree::Ident(first), TokenTree::Ident(second), ..] if is(first, "async") && is(second, "fn") => {
                self.take(2);
                Ok(())
            }
            [TokenTree::Ident(word), ..] if is(word, "fn") => {
                Err(Error::at(word.span(), format!("`#[{attribute}]` goes on an `async fn`: put `async` before `fn`")))
            }
            rest => {
                let first = rest.first().map_or_else(Span::call_site, TokenTree::span);
                Err(Error::at(first, format!("`#[{attribute}]` goes on a plain `async fn`")))
            }
        }
    }

    fn name(&mut self) -> Result<Ident> {
        match self.take(self.rest().len().min(1)) {
            [TokenTree::Ident(name)] => Ok(name.clone()),
            other => Err(Error::about(other, Span::call_site(), "expected the function's name")),
        }
    }

    /// Reads `()`.
    fn no_arguments(&mut self, name: &Ident) -> Result<()> {
        let attribute = self.attribute;
        match self.rest() {
            [TokenTree::Group(list), ..] if list.delimiter() == Delimiter::Parenthesis => {
                let list: Vec<TokenTree> = list.stream().into_iter().collect();
                self.take(1);
                if list.is_empty() {
                    return Ok(());
                }
                let method = list.iter().any(|token| matches!(token, TokenTree::Ident(word) if is(word, "self")));
                let problem = if method {
                    format!("`#[{attribute}]` goes on a free function, not on a method")
                } else {
                    format!("`{name}` can have no arguments: below `#[{attribute}]` nobody passes any")
                };
                Err(Error::about(&list, name.span(), problem))
            }
            [TokenTree::Punct(angle), ..] if angle.as_char() == '<' => {
                let problem =
                    format!("`{name}` cannot be generic: below `#[{attribute}]` nobody chooses the parameters");
                Err(Error::about(self.generics(), name.span(), problem))
            }
            _ => Err(Error::at(name.span(), format!("expected `()` after `{name}`"))),
        }
    }

    /// Returns everything before the parentheses.
    fn generics(&self) -> &[TokenTree] {
        let parentheses =
            |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
        self.rest().split(parentheses).next().unwrap_or_default()
    }

    fn output_and_body(&mut self, name: &Ident) -> Result<(TokenStream, TokenStream)> {
        match self.rest() {
            [output @ .., TokenTree::Group(body)] if is_block(body) => {
                Ok((output.iter().cloned().collect(), TokenTree::from(body.clone()).into()))
            }
            _ => Err(Error::at(name.span(), format!("`{name}` has no body"))),
        }
    }
}

/// Returns whether `group` is a block: braces, or a `$body:block` of a macro by example.
fn is_block(group: &Group) -> bool {
    match group.delimiter() {
        Delimiter::Brace => true,
        Delimiter::None => {
            let content: Vec<TokenTree> = group.stream().into_iter().collect();
            matches!(content.as_slice(), [TokenTree::Group(inner)] if is_block(inner))
        }
        Delimiter::Parenthesis | Delimiter::Bracket => false,
    }
}

fn is(word: &Ident, text: &str) -> bool {
    word.to_string() == text
}
