//! Wildcards, include and exclude lists.

use super::*;

fn patterns(include: &[&str], exclude: &[&str]) -> pb::FileActionCopy {
    let list = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
    pb::FileActionCopy {
        include_patterns: list(include),
        exclude_patterns: list(exclude),
        ..action("/", "/")
    }
}

fn selected(action: &pb::FileActionCopy) -> Vec<String> {
    let (source, target) =
        folders(&["a/x.go", "a/y.txt", "a/deep/z.go", "b/x.go", "node_modules/p/index.js", "top.go"]);
    run(source.path(), target.path(), action).unwrap_or_else(|error| panic!("{}: {error}", action.src));
    list(target.path()).into_iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn directories_appear_only_with_something_in_them() {
    assert_eq!(selected(&patterns(&["**/x.go"], &[])), ["a/", "a/x.go", "b/", "b/x.go"]);
    assert_eq!(selected(&patterns(&["a/deep"], &[])), ["a/", "a/deep/", "a/deep/z.go"]);
    assert_eq!(selected(&patterns(&["nothing"], &[])), Vec::<String>::new());
}

#[test]
fn exclusions_come_back_where_a_pattern_says_so() {
    let all = patterns(&[], &["node_modules", "**/*.txt"]);
    assert_eq!(selected(&all), ["a/", "a/deep/", "a/deep/z.go", "a/x.go", "b/", "b/x.go", "top.go"]);
    let back = patterns(&[], &["a", "b", "node_modules", "!a/deep/z.go"]);
    assert_eq!(selected(&back), ["a/", "a/deep/", "a/deep/z.go", "top.go"]);
    let both = patterns(&["**/*.go"], &["b"]);
    assert_eq!(selected(&both), ["a/", "a/deep/", "a/deep/z.go", "a/x.go", "top.go"]);
}

#[test]
fn wildcards_match_whole_elements() {
    let wild = |src: &str| pb::FileActionCopy { allow_wildcard: true, ..action(src, "/t/") };
    assert_eq!(selected(&wild("/*.go")), ["t/", "t/top.go"]);
    assert_eq!(selected(&wild("/?/x.go")), ["t/", "t/x.go"]);
    assert_eq!(selected(&wild("/[ab]")), ["t/", "t/deep/", "t/deep/z.go", "t/x.go", "t/y.txt"]);
    assert_eq!(selected(&wild("/a/*/z.go")), ["t/", "t/z.go"]);
    assert_eq!(selected(&wild("/a/d*")), ["t/", "t/z.go"]);
}

#[test]
fn a_bad_list_is_an_error() {
    let (source, target) = folders(&["a"]);
    let error = run(source.path(), target.path(), &patterns(&["[a"], &[])).unwrap_err().to_string();
    assert_eq!(error, "invalid includepatterns: [\"[a\"]: syntax error in pattern");
}
