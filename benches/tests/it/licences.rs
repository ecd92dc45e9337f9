//! Licences and sources of everything in the dependency tree, held against `deny.toml` without any further tool.

use std::path::Path;

use cargo_metadata::{Metadata, MetadataCommand};

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml"));
    command
        .exec()
        .expect("cargo tells about the dependency tree")
}

/// The `allow` list of `deny.toml`.
fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let (_, list) = text
        .split_once("allow = [")
        .expect("deny.toml has an allow list");
    let (list, _) = list.split_once(']').expect("the list ends");
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether an SPDX expression can be met with allowed licences. `OR` binds weaker than `AND`; parentheses nest.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let tokens = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut tokens: Vec<&str> = tokens.split_whitespace().rev().collect();
    let met = either(&mut tokens, allowed);
    assert!(tokens.is_empty(), "{expression} is no licence expression");
    met
}

fn either(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut met = both(tokens, allowed);
    while tokens.last() == Some(&"OR") {
        tokens.pop();
        met |= both(tokens, allowed);
    }
    met
}

fn both(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    let mut met = one(tokens, allowed);
    while tokens.last() == Some(&"AND") {
        tokens.pop();
        met &= one(tokens, allowed);
    }
    met
}

fn one(tokens: &mut Vec<&str>, allowed: &[String]) -> bool {
    match tokens.pop() {
        Some("(") => {
            let met = either(tokens, allowed);
            assert_eq!(tokens.pop(), Some(")"));
            met
        }
        Some(name) if tokens.last() == Some(&"WITH") => {
            tokens.pop();
            let with = format!("{name} WITH {}", tokens.pop().unwrap_or_default());
            allowed.contains(&with)
        }
        Some(name) => allowed.iter().any(|licence| licence == name),
        None => false,
    }
}

#[test]
fn every_dependency_is_licensed_as_we_allow() {
    let allowed = allowed();
    let refused: Vec<String> = metadata()
        .packages
        .iter()
        .filter(|package| {
            !package
                .license
                .as_deref()
                .is_some_and(|licence| permits(licence, &allowed))
        })
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.license
            )
        })
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let strange: Vec<String> = metadata()
        .packages
        .iter()
        .filter_map(|package| Some((package, package.source.as_ref()?)))
        .filter(|(_, source)| !source.is_crates_io())
        .map(|(package, source)| format!("{} from {source}", package.name))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[test]
fn expressions_are_read() {
    let allowed = [
        "MIT".to_owned(),
        "ISC".to_owned(),
        "Apache-2.0 WITH LLVM-exception".to_owned(),
    ];
    let check = |expression: &str, expected| {
        assert_eq!(permits(expression, &allowed), expected, "{expression}")
    };
    check("MIT", true);
    check("GPL-3.0", false);
    check("MIT OR GPL-3.0", true);
    check("MIT AND GPL-3.0", false);
    check("GPL-3.0/MIT", true);
    check("(GPL-3.0 OR MIT) AND ISC", true);
    check("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true);
    check("Apache-2.0", false);
}
