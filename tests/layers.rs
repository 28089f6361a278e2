//! The picture of the crate, checked: who imports whom.
//!
//! The picture is the page `foster::guide::architecture`. This test reads its tables, and compares
//! them with what the files import.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The page that has the tables.
const PAGE: &str = include_str!("../src/guide/architecture.md");

/// The rooms of `src/`, lowest layer first.
static LAYERS: LazyLock<Vec<Vec<&str>>> = LazyLock::new(|| {
    let layers: Vec<_> = rows().filter(|(first, _)| first.parse::<usize>().is_ok()).collect();
    for (n, (first, _)) in layers.iter().enumerate() {
        assert_eq!(*first, n.to_string(), "the layers are numbered from 0 on");
    }
    layers.into_iter().map(|(_, rooms)| rooms).collect()
});

/// What an adapter may import.
static FOR_ADAPTERS: LazyLock<Vec<&str>> = LazyLock::new(|| rooms_of("`runtimes/`"));

/// What the simulation may import besides.
static FOR_SIM: LazyLock<Vec<&str>> = LazyLock::new(|| rooms_of("`runtimes/sim/`"));

/// The rows of the page's tables: their first cells, and the names in their second ones.
fn rows() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    PAGE.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let (first, rooms) = (cells.next()?, cells.next()?);
        Some((first, rooms.split(", ").map(|room| room.trim_matches('`')).collect()))
    })
}

/// The second cell of the row that begins with `first`.
fn rooms_of(first: &str) -> Vec<&'static str> {
    rows().find(|row| row.0 == first).unwrap_or_else(|| panic!("the page has no row {first}")).1
}

/// The layer of the room that a module is in, and the room's name.
fn room(module: &[impl AsRef<str>]) -> Option<(usize, &'static str)> {
    let module: Vec<&str> = module.iter().map(AsRef::as_ref).collect();
    let rooms = LAYERS.iter().enumerate().flat_map(|(layer, row)| row.iter().map(move |room| (layer, *room)));
    rooms
        .filter(|(_, room)| module.starts_with(&room.split("::").collect::<Vec<_>>()))
        .max_by_key(|(_, room)| room.len())
}

fn table() -> String {
    let mut out = String::from("the layers of src/guide/architecture.md, lowest first:\n");
    for (n, row) in LAYERS.iter().enumerate() {
        writeln!(out, "  {n:2}  {}", row.join(", ")).unwrap();
    }
    writeln!(out, "  adapters: {}; sim also: {}", FOR_ADAPTERS.join(", "), FOR_SIM.join(", ")).unwrap();
    out
}

/// The Rust files below `root`, without those that are tests.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        match () {
            () if stem == "tests" || stem == "races" => {}
            () if path.is_dir() => files.extend(self::files(&path)),
            () if path.extension().is_some_and(|extension| extension == "rs") => files.push(path),
            () => {}
        }
    }
    files.sort();
    files
}

/// The module path of a file: `src/scope/task.rs` is `["scope", "task"]`.
fn module(root: &Path, file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root).unwrap().with_extension("");
    let mut path: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_string()).collect();
    if path.last().is_some_and(|last| last == "mod" || last == "lib") {
        path.pop();
    }
    path
}

/// A file's code: no comments, and nothing from its tests on.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines =
        text.lines().take_while(|line| !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test"));
    lines.map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The paths that follow `prefix` in the code; several, where it imports a group.
fn after<'a>(code: &'a str, prefix: &str) -> Vec<Vec<&'a str>> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let path = |text: &'a str| {
        let end = text.find(|c| !is_name(c) && c != ':').unwrap_or(text.len());
        text[..end].split("::").filter(|part| !part.is_empty()).collect::<Vec<_>>()
    };
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| is_name(c) || c == '$' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let group = rest.strip_prefix('{').map(|rest| &rest[..rest.find("};").unwrap_or(rest.len())]);
        match group {
            None => paths.push(path(rest)),
            Some(group) => {
                let mut depth = 0;
                paths.extend(group.split(',').filter_map(|item| {
                    let outermost = depth == 0;
                    depth += item.matches('{').count();
                    depth -= item.matches('}').count();
                    outermost.then(|| path(item.trim()))
                }));
            }
        }
    }
    paths
}

/// The modules that a file names, as paths from the crate's root.
fn imports(module: &[String], code: &str) -> BTreeSet<Vec<String>> {
    let owned = |path: Vec<&str>| path.into_iter().map(String::from).collect::<Vec<_>>();
    let mut paths: BTreeSet<Vec<String>> = after(code, "crate::").into_iter().map(owned).collect();
    for up in 1..=module.len() {
        let above = &module[..module.len() - up];
        let named = after(code, &"super::".repeat(up)).into_iter().filter(|path| path.first() != Some(&"super"));
        paths.extend(named.map(|path| [above, &owned(path)].concat()));
    }
    paths.retain(|path| !path.is_empty());
    paths
}

#[test]
fn every_file_imports_from_the_layers_below_it_or_its_own_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = String::new();
    for file in files(&root) {
        let module = module(&root, &file);
        let Some(first) = module.first() else { continue };
        let shown = file.strip_prefix(&root).unwrap().display();
        let Some((own_layer, own)) = room(&module) else {
            writeln!(wrong, "{shown}: `{first}` has no place in the table").unwrap();
            continue;
        };
        for import in imports(&module, &code(&file)) {
            let shown_import = import.join("::");
            match room(&import) {
                Some((layer, name)) if layer < own_layer || name == own => {}
                Some((layer, name)) => writeln!(
                    wrong,
                    "{shown}, of layer {own_layer}, imports `{shown_import}` of `{name}`, layer {layer}"
                )
                .unwrap(),
                None => {
                    writeln!(wrong, "{shown} imports `{shown_import}`, which is in no room; name the room").unwrap()
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}{}", table());
}

#[test]
fn every_adapter_imports_what_adapters_may_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("runtimes");
    let mut wrong = String::new();
    for file in files(&root) {
        let shown = file.strip_prefix(&root).unwrap().display();
        let is_sim = shown.to_string().starts_with("sim");
        for import in after(&code(&file), "crate::") {
            let name = room(&import).map_or("runtimes", |(_, name)| name);
            let allowed = FOR_ADAPTERS.contains(&name) || is_sim && FOR_SIM.contains(&name);
            if !allowed && name != "runtimes" {
                writeln!(wrong, "runtimes/{shown} imports `{}`", import.join("::")).unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}{}", table());
}

#[test]
fn groups_and_supers_are_understood() {
    let code = "use crate::{context::{self, Swap}, name};\nlet x = crate::cancel::token::y();\nuse super::scope::z;\nuse super::q;";
    let found = |module: &[&str]| {
        let module: Vec<String> = module.iter().map(|part| part.to_string()).collect();
        imports(&module, code).into_iter().map(|path| path.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(found(&["name"]), ["cancel::token::y", "context", "name", "q", "scope::z"]);
    assert_eq!(found(&["scope", "task"]), ["cancel::token::y", "context", "name", "scope::q", "scope::scope::z"]);
    assert_eq!(room(&["cancel", "token", "y"]), Some((4, "cancel::token")));
    assert_eq!(room(&["cancel", "shield"]).map(|(_, name)| name), Some("cancel"));
}
