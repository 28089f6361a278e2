//! From an address as it is written in a page to what it stands for.

use url::{Position, Url};

/// What an address stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A document of the site that is checked, or of another host.
    Document(Place),
    /// Not a document of a host: mail, a script, data.
    Other,
    /// Not an address.
    Malformed { address: String, why: String },
}

/// A document, and perhaps a place in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// In the site, path and query, which begin with a slash. At another host, all but the
    /// fragment.
    pub(crate) address: String,
    pub(crate) fragment: Option<String>,
}

impl Place {
    /// What `url` stands for, as seen from `site`.
    pub(crate) fn new(url: &Url, site: &Url) -> Self {
        let begin = if url.origin() == site.origin() { Position::BeforePath } else { Position::BeforeScheme };
        let address = url[begin..Position::AfterQuery].to_owned();
        Place { address, fragment: url.fragment().map(str::to_owned) }
    }
}

/// Whether the address of a [`Place`] is one of another host.
pub(crate) fn is_external(address: &str) -> bool {
    !address.starts_with('/')
}

/// Resolves the addresses of one page.
#[derive(Debug)]
pub(crate) struct Resolver<'a> {
    site: &'a Url,
    base: Url,
}

impl<'a> Resolver<'a> {
    /// A resolver for a page that is met in a check of `site`, and which may name another `base`.
    pub(crate) fn new(site: &'a Url, page: Url, base: Option<&str>) -> Self {
        let named = base.and_then(|base| page.join(base).ok());
        let base = named.filter(|base| !base.cannot_be_a_base()).unwrap_or(page);
        Resolver { site, base }
    }

    pub(crate) fn resolve(&self, address: &str) -> Target {
        match self.base.join(address) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Target::Document(Place::new(&url, self.site)),
            Ok(_) => Target::Other,
            Err(error) => Target::Malformed { address: address.to_owned(), why: error.to_string() },
        }
    }
}

/// The whole address of what a [`Place`] names by `address`. Not a join: a path may begin with two
/// slashes.
pub(crate) fn at(site: &Url, address: &str) -> Url {
    let begin = if is_external(address) { "" } else { &site[..Position::BeforePath] };
    Url::parse(&format!("{begin}{address}")).unwrap_or_else(|_| site.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(base: Option<&str>, address: &str) -> Target {
        let site = Url::parse("http://127.0.0.1:8000/").expect("a valid address");
        Resolver::new(&site, at(&site, "/book/one.html?x"), base).resolve(address)
    }

    fn document(address: &str, fragment: Option<&str>) -> Target {
        Target::Document(Place { address: address.to_owned(), fragment: fragment.map(str::to_owned) })
    }

    #[test]
    fn addresses_are_relative_to_the_page_or_its_base() {
        assert_eq!(resolve(None, "two.html#a"), document("/book/two.html", Some("a")));
        assert_eq!(resolve(None, "#a"), document("/book/one.html?x", Some("a")));
        assert_eq!(resolve(None, " ../a b "), document("/a%20b", None));
        assert_eq!(resolve(Some("/other/"), "two.html"), document("/other/two.html", None));
        assert_eq!(resolve(Some("data:,"), "two.html"), document("/book/two.html", None));
    }

    #[test]
    fn documents_of_other_hosts_have_whole_addresses() {
        for address in ["http://127.0.0.1:8001/", "https://127.0.0.1:8000/a?b"] {
            assert_eq!(resolve(None, address), document(address, None));
        }
        assert_eq!(resolve(None, "//x//y#z"), document("http://x//y", Some("z")));
        assert_eq!(resolve(None, "//b\u{fc}cher.example"), document("http://xn--bcher-kva.example/", None));
        assert_eq!(resolve(Some("https://example.org/"), "a"), document("https://example.org/a", None));
    }

    #[test]
    fn other_schemes_name_no_documents() {
        for address in
            ["mailto:me", "javascript:void 0", "data:,", "ftp://127.0.0.1:8000/", "blob:http://127.0.0.1:8000/x"]
        {
            assert_eq!(resolve(None, address), Target::Other, "{address}");
        }
    }

    #[test]
    fn an_address_is_completed_by_the_site_unless_it_is_whole() {
        let site = Url::parse("http://127.0.0.1:8000/book/").expect("a valid address");
        assert_eq!(at(&site, "//a?b").as_str(), "http://127.0.0.1:8000//a?b");
        assert_eq!(at(&site, "https://x/a?b").as_str(), "https://x/a?b");
    }

    #[test]
    fn what_is_no_address_says_why() {
        assert!(matches!(resolve(None, "http://[::1"), Target::Malformed { .. }));
    }
}
