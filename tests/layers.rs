//! The picture of the crate, checked: who imports whom.
//!
//! A file imports from rooms in rows above its own in this table, or from its own room. So there is no cycle, and whoever
//! reads downwards meets nothing that has not been told of.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of `src/`, lowest layer first. Rooms in one row do not know each other.
const LAYERS: &[&[&str]] = &[
    &["name", "panic", "runtime"],
    &["contain", "set", "token"],
    &["lane"],
    &["blocking", "control"],
    &["context"],
    &["tree", "values"],
    &["cancel"],
    &["time"],
    &["queue", "sync"],
    &["scope"],
    &["future", "rate", "resource", "retry"],
    &["stream"],
    &["runtimes", "service"],
    &["attributes", "testing"],
    &["guide"],
];

/// What an adapter may know. It is known by nobody.
const FOR_ADAPTERS: &[&str] = &["blocking", "contain", "runtime"];

/// What the simulation may know besides.
const FOR_SIM: &[&str] = &["context", "name", "panic", "set", "time", "tree"];

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&room))
}

fn table() -> String {
    let mut out = String::from("the layers, lowest first:\n");
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

/// The names that follow `prefix` in the code; several, where it imports a group.
fn after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| is_name(c) || c == '$' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        let group = rest.strip_prefix('{').map(|rest| &rest[..rest.find("};").unwrap_or(rest.len())]);
        match group {
            None => names.push(&rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]),
            Some(group) => {
                let mut depth = 0;
                names.extend(group.split(',').filter_map(|item| {
                    let outermost = depth == 0;
                    depth += item.matches('{').count();
                    depth -= item.matches('}').count();
                    let item = item.trim();
                    outermost.then(|| &item[..item.find(|c| !is_name(c)).unwrap_or(item.len())])
                }));
            }
        }
    }
    names
}

/// The rooms that a file imports from, its own left out.
fn imports(module: &[String], code: &str) -> BTreeSet<String> {
    let mut rooms: BTreeSet<String> = after(code, "crate::").into_iter().map(String::from).collect();
    for up in 1..=module.len() {
        // Above all modules: `super` is then the root.
        if up == module.len() {
            rooms.extend(after(code, &"super::".repeat(up)).into_iter().map(String::from));
        }
    }
    rooms.retain(|room| !room.is_empty() && room != "super" && module.first() != Some(room));
    rooms
}

#[test]
fn every_file_imports_from_the_layers_below_it_or_its_own_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = String::new();
    for file in files(&root) {
        let module = module(&root, &file);
        let Some(room) = module.first() else { continue };
        let shown = file.strip_prefix(&root).unwrap().display();
        let Some(own) = layer(room) else {
            writeln!(wrong, "{shown}: `{room}` has no place in the table").unwrap();
            continue;
        };
        for import in imports(&module, &code(&file)) {
            match layer(&import) {
                Some(layer) if layer < own => {}
                Some(layer) => {
                    writeln!(wrong, "{shown}, of layer {own}, imports `{import}`, of layer {layer}").unwrap()
                }
                None => writeln!(wrong, "{shown} imports `{import}`, which is not a room; name the room").unwrap(),
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
            let allowed = FOR_ADAPTERS.contains(&import) || is_sim && FOR_SIM.contains(&import);
            if !allowed && import != "runtimes" {
                writeln!(wrong, "runtimes/{shown} imports `{import}`").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}{}", table());
}

#[test]
fn groups_and_supers_are_understood() {
    let code =
        "use crate::{context::{self, Swap}, name};\nlet x = crate::token::y();\nuse super::scope::z;\nuse super::q;";
    let found = |module: &[&str]| {
        let module: Vec<String> = module.iter().map(|part| part.to_string()).collect();
        imports(&module, code).into_iter().collect::<Vec<_>>()
    };
    assert_eq!(found(&["name"]), ["context", "q", "scope", "token"]);
    assert_eq!(found(&["scope", "task"]), ["context", "name", "token"]);
}
