//! The modules stand in `lib.rs` so that each takes from those before it alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The modules, in order, by what `lib.rs` declares.
fn declared(lib: &str) -> Vec<&str> {
    let names = lib.lines().filter_map(|line| {
        line.trim_start_matches("pub ")
            .trim_start_matches("pub(crate) ")
            .strip_prefix("mod ")?
            .strip_suffix(';')
    });
    names.filter(|name| *name != "order").collect()
}

/// What a file takes from other modules: the names behind `crate::`, also of `crate::{a, b::c}`. Comments take nothing.
fn taken(text: &str) -> Vec<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `tidemill_crate::` would be another.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => {
                let mut depth = 0;
                let mut name = String::new();
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(std::mem::take(&mut name)),
                        c => name.push(c),
                    }
                }
                names.push(name);
            }
            None => names.push(rest.to_owned()),
        }
    }
    let first = |name: &String| {
        let name = name.trim();
        name[..name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len())].to_owned()
    };
    names.iter().map(first).collect()
}

/// The Rust files below a folder.
fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Arrows against the order, as `file takes module`. `texts` are files by their paths below `src`.
fn against(lib: &str, texts: &BTreeMap<String, String>) -> Vec<String> {
    let order = declared(lib);
    let place = |name: &str| order.iter().position(|module| *module == name);
    let mut arrows = Vec::new();
    for (path, text) in texts {
        let module = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
        let Some(own) = place(module) else { continue };
        for name in taken(text) {
            if place(&name).is_some_and(|taken| taken > own) {
                arrows.push(format!("{path} takes {name}"));
            }
        }
    }
    arrows
}

#[test]
fn no_module_takes_from_one_behind_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&source, &mut paths);
    let read = |path: &std::path::PathBuf| {
        let below = path.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
        (below, fs::read_to_string(path).unwrap())
    };
    let texts: BTreeMap<String, String> = paths.iter().map(read).collect();
    let lib = &texts["lib.rs"];
    // Each file belongs to a module that stands in the list.
    for path in texts.keys().filter(|path| !["lib.rs", "order.rs"].contains(&path.as_str())) {
        let module = path.split('/').next().unwrap().trim_end_matches(".rs");
        assert!(declared(lib).contains(&module), "{path} is of no module of lib.rs");
    }
    assert_eq!(against(lib, &texts), [""; 0]);
}

#[test]
fn an_arrow_against_the_order_is_found_however_it_is_written() {
    let lib = "mod first;\n\npub mod second;\n\npub(crate) mod third;\n";
    let found = |path: &str, text: &str| against(lib, &BTreeMap::from([(path.to_owned(), text.to_owned())]));
    for text in [
        "use crate::second;",
        "use crate::second::{a, b};",
        "use crate::{first, second::c};",
        "use crate::{\n    error::{Result, d},\n    second,\n};",
        "fn f() -> crate::second::T {}",
    ] {
        assert_eq!(found("first/a.rs", text), ["first/a.rs takes second"], "{text}");
        assert_eq!(found("third.rs", text), [""; 0], "{text}");
    }
    assert_eq!(
        found("first.rs", "// see crate::second\n/// [`x`](crate::second::x)\nuse super::second;"),
        [""; 0]
    );
}
