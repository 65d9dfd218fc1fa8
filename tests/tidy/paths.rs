//! The paths that a file names, in `use` and everywhere else: `crate::store::read`, `redis::cmd`.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path, and the module it stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) line: usize,
    /// The module, inline ones included.
    pub(crate) module: Vec<String>,
    pub(crate) segments: Vec<String>,
}

impl NamedPath {
    /// The path from the root of the crate, where it begins with `crate`, `self`, `super` or the crate's own name.
    pub(crate) fn rooted(&self) -> Option<Vec<String>> {
        let mut base: &[String] = &self.module;
        let mut rest = self.segments.as_slice();
        match rest.first()?.as_str() {
            "crate" | "slotwise" => {
                base = &[];
                rest = &rest[1..];
            }
            "self" | "super" => {
                // In a group, `self` stands last and names what is before it.
                while let [first, tail @ ..] = rest {
                    match first.as_str() {
                        "self" => {}
                        "super" => base = base.split_last()?.1,
                        _ => break,
                    }
                    rest = tail;
                }
            }
            _ => return None,
        }
        Some(base.iter().chain(rest).filter(|segment| *segment != "self").cloned().collect())
    }
}

/// Where paths stand: the module, and the modules that are declared in it.
struct Scope {
    module: Vec<String>,
    children: Vec<String>,
}

impl Scope {
    fn new(module: Vec<String>, body: &[TokenTree]) -> Self {
        let child = |pair: &[TokenTree]| match pair {
            [TokenTree::Ident(word), TokenTree::Ident(name)] if word == "mod" => Some(name.to_string()),
            _ => None,
        };
        Self { module, children: body.windows(2).filter_map(child).collect() }
    }

    fn path(&self, at: &TokenTree, mut segments: Vec<String>, absolute: bool) -> NamedPath {
        // A module declared here may be called like a crate.
        if !absolute && segments.first().is_some_and(|first| self.children.contains(first)) {
            segments.insert(0, "self".to_owned());
        }
        NamedPath { line: at.span().start().line, module: self.module.clone(), segments }
    }
}

/// Every path of two or more segments, and every path of a `use` or an `extern crate`.
pub(crate) fn paths(tokens: TokenStream, module: &[String]) -> Vec<NamedPath> {
    let (mut found, body) = (Vec::new(), trees(tokens));
    walk(&body, &Scope::new(module.to_vec(), &body), &mut found);
    found
}

fn walk(body: &[TokenTree], scope: &Scope, found: &mut Vec<NamedPath>) {
    let mut at = 0;
    while at < body.len() {
        let here = &body[at..];
        at += match here {
            [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(inner), ..]
                if word == "mod" =>
            {
                let inner = trees(inner.stream());
                let module = [&scope.module[..], &[name.to_string()]].concat();
                walk(&inner, &Scope::new(module, &inner), found);
                3
            }
            [TokenTree::Ident(word), TokenTree::Ident(what), TokenTree::Ident(name), ..]
                if word == "extern" && what == "crate" =>
            {
                found.push(scope.path(&here[0], vec![name.to_string()], true));
                3
            }
            // Not the `use<'a>` of a type.
            [TokenTree::Ident(word), next, ..] if word == "use" && !is_punct(next, '<') => {
                let end = here.iter().position(|tree| is_punct(tree, ';')).unwrap_or(here.len());
                walk_use(&here[1..end], scope, &[], found);
                end
            }
            [TokenTree::Group(group), ..] => {
                walk(&trees(group.stream()), scope, found);
                1
            }
            [TokenTree::Ident(_), ..] => {
                let (segments, length) = leading_path(here);
                let before = &body[..at];
                if segments.len() > 1 && !continues_a_type(before) {
                    found.push(scope.path(&here[0], segments, ends_with_colons(before)));
                }
                length
            }
            _ => 1,
        };
    }
}

/// One tree of a `use`: a path, then a group, a star, an alias or nothing.
fn walk_use(tree: &[TokenTree], scope: &Scope, before: &[String], found: &mut Vec<NamedPath>) {
    let absolute = begins_with_colons(tree);
    let tree = if absolute { &tree[2..] } else { tree };
    let Some(first) = tree.first() else { return };
    let (segments, length) = leading_path(tree);
    let path = [before, &segments].concat();
    let group = tree[length..].iter().find_map(|tree| match tree {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(trees(group.stream())),
        _ => None,
    });
    if let Some(group) = group {
        for inner in group.split(|tree| is_punct(tree, ',')) {
            walk_use(inner, scope, &path, found);
        }
    } else {
        let star = tree[length..].iter().any(|tree| is_punct(tree, '*'));
        let path = if star { [&path[..], &["*".to_owned()]].concat() } else { path };
        found.push(scope.path(first, path, absolute));
    }
}

/// The segments joined by `::` at the front, and how many trees they take up.
fn leading_path(trees: &[TokenTree]) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut at = 0;
    while let Some(TokenTree::Ident(segment)) = trees.get(at) {
        segments.push(segment.to_string());
        at += 1;
        if begins_with_colons(&trees[at..]) && matches!(trees.get(at + 2), Some(TokenTree::Ident(_))) {
            at += 2;
        } else {
            break;
        }
    }
    (segments, at)
}

/// Is what follows these trees an associated item, as in `<T as Trait>::item`?
fn continues_a_type(before: &[TokenTree]) -> bool {
    ends_with_colons(before) && before.len() > 2 && is_punct(&before[before.len() - 3], '>')
}

fn begins_with_colons(trees: &[TokenTree]) -> bool {
    matches!(trees, [first, second, ..] if is_punct(first, ':') && is_punct(second, ':'))
}

fn ends_with_colons(trees: &[TokenTree]) -> bool {
    matches!(trees, [.., first, second] if is_punct(first, ':') && is_punct(second, ':'))
}

fn is_punct(tree: &TokenTree, wanted: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

/// The trees of a stream; groups without delimiters do not come out of a text.
pub(crate) fn trees(tokens: TokenStream) -> Vec<TokenTree> {
    tokens.into_iter().collect()
}

fn seen(text: &str) -> Vec<String> {
    let module = vec!["store".to_owned(), "read".to_owned()];
    paths(text.parse().unwrap(), &module).iter().map(|path| path.segments.join("::")).collect()
}

#[test]
fn every_path_is_seen_wherever_it_stands() {
    assert_eq!(
        seen("use crate::a::{b::C, d::{self, E as F}, *};"),
        ["crate::a::b::C", "crate::a::d::self", "crate::a::d::E", "crate::a::*"]
    );
    assert_eq!(seen("pub(crate) use ::redis; extern crate anyhow as a;"), ["redis", "anyhow"]);
    assert_eq!(
        seen("fn f() -> Vec<crate::http::X> { let y = ::tokio::spawn(1); y }"),
        ["crate::http::X", "tokio::spawn"]
    );
    assert_eq!(
        seen("#[tokio::test] fn f() { assert_eq!(a, crate::cli::B); }"),
        ["tokio::test", "crate::cli::B"]
    );
    assert_eq!(seen("macro_rules! m { () => { $crate::load::x() } }"), ["crate::load::x"]);
    assert_eq!(seen("fn f<T: x::Y>() { <T as x::Z>::redis::w(); a.b::<c::D>(); }"), ["x::Y", "x::Z", "c::D"]);
    assert_eq!(seen("fn f<'a>() -> impl Sized + use<'a> { crate::a::b() } use c;"), ["crate::a::b", "c"]);
}

#[test]
fn a_module_that_is_called_like_a_crate_is_not_that_crate() {
    let text = "mod redis; use redis::A; fn f() { redis::g(::redis::h()) } mod inner { use redis::B; }";
    assert_eq!(seen(text), ["self::redis::A", "self::redis::g", "redis::h", "redis::B"]);
}

#[test]
fn comments_and_texts_name_nothing() {
    let text = r##"
        //! crate::a::b
        /* redis::cmd /* nested */ crate::c */
        /// [`crate::d::E`]
        fn f() { let _ = ("crate::e", r#"redis::"f""#, b"tokio::g", 'x', '"'); }
    "##;
    assert_eq!(seen(text), Vec::<String>::new());
}

#[test]
fn a_path_is_followed_up_to_the_root() {
    let text = "
        use super::super::http::X;
        use super::{error::E, super::load::Y};
        use self::inner::Z;
        mod tests { use super::super::super::cli::W; use crate::slot::{self, V}; }
    ";
    let module = vec!["store".to_owned(), "read".to_owned()];
    let found: Vec<String> =
        paths(text.parse().unwrap(), &module).iter().map(|path| path.rooted().unwrap().join("::")).collect();
    let expected =
        ["http::X", "store::error::E", "load::Y", "store::read::inner::Z", "cli::W", "slot", "slot::V"];
    assert_eq!(found, expected);
}
