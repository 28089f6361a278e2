//! From an address as it is written in a page to what it stands for.

use url::{Position, Url};

/// What an address stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A place of the site that is checked.
    Inside(Place),
    /// Another host, or another way to transport: mail, a script, data.
    Outside,
    /// Not an address.
    Malformed { address: String, why: String },
}

/// A document of the site, and perhaps a place in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) fragment: Option<String>,
}

impl Place {
    pub(crate) fn new(url: &Url) -> Self {
        Place {
            path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
            fragment: url.fragment().map(str::to_owned),
        }
    }
}

/// Resolves the addresses of one page.
#[derive(Debug)]
pub(crate) struct Resolver {
    page: Url,
    base: Url,
}

impl Resolver {
    /// A resolver for the page at `path` of `site`, which may name another `base`.
    pub(crate) fn new(site: &Url, path: &str, base: Option<&str>) -> Self {
        let page = at(site, path);
        let named = base.and_then(|base| page.join(base).ok());
        let base = named.filter(|base| !base.cannot_be_a_base()).unwrap_or_else(|| page.clone());
        Resolver { page, base }
    }

    pub(crate) fn resolve(&self, address: &str) -> Target {
        match self.base.join(address) {
            Ok(url) if url.scheme() == self.page.scheme() && url.origin() == self.page.origin() => {
                Target::Inside(Place::new(&url))
            }
            Ok(_) => Target::Outside,
            Err(error) => Target::Malformed { address: address.to_owned(), why: error.to_string() },
        }
    }
}

/// The address of `path` in `site`. Not a join: a path may begin with two slashes.
pub(crate) fn at(site: &Url, path: &str) -> Url {
    let url = format!("{}{path}", &site[..Position::BeforePath]);
    Url::parse(&url).unwrap_or_else(|_| site.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(base: Option<&str>, address: &str) -> Target {
        let site = Url::parse("http://127.0.0.1:8000/").expect("a valid address");
        Resolver::new(&site, "/book/one.html?x", base).resolve(address)
    }

    fn inside(path: &str, fragment: Option<&str>) -> Target {
        Target::Inside(Place { path: path.to_owned(), fragment: fragment.map(str::to_owned) })
    }

    #[test]
    fn addresses_are_relative_to_the_page_or_its_base() {
        assert_eq!(resolve(None, "two.html#a"), inside("/book/two.html", Some("a")));
        assert_eq!(resolve(None, "#a"), inside("/book/one.html?x", Some("a")));
        assert_eq!(resolve(None, " ../a b "), inside("/a%20b", None));
        assert_eq!(resolve(Some("/other/"), "two.html"), inside("/other/two.html", None));
        assert_eq!(resolve(Some("data:,"), "two.html"), inside("/book/two.html", None));
    }

    #[test]
    fn other_hosts_and_schemes_are_outside() {
        for address in [
            "http://127.0.0.1:8001/",
            "https://127.0.0.1:8000/",
            "mailto:me",
            "javascript:void 0",
            "//x/",
            "//bücher.example/",
        ] {
            assert_eq!(resolve(None, address), Target::Outside, "{address}");
        }
        assert_eq!(resolve(Some("http://example.org/"), "a"), Target::Outside);
    }

    #[test]
    fn what_is_no_address_says_why() {
        assert!(matches!(resolve(None, "http://[::1"), Target::Malformed { .. }));
    }
}
