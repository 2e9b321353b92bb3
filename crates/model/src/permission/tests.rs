//! Rules against requests: what gets through, and what must not.

use super::*;
use proptest::prelude::*;
use strum::IntoEnumIterator;

fn rule(tool: &str, command: &str, path: &str) -> Rule {
    let given = |it: &str| (!it.is_empty()).then(|| it.to_owned());
    Rule::try_from(RuleText { tool: given(tool), command: given(command), path: given(path) }).unwrap()
}

fn policy(mode: Mode, allow: &[Rule], deny: &[Rule]) -> Policy {
    Policy { mode, expiry_secs: 900, allow: allow.to_vec(), deny: deny.to_vec() }
}

fn bash(command: &str) -> Wish {
    Wish { tool: "Bash".into(), command: Some(command.into()), ..Wish::default() }
}

fn edit(paths: &[&str]) -> Wish {
    Wish {
        tool: "Edit".into(),
        paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        roots: vec!["/place/checkout".into()],
        resolved: true,
        ..Wish::default()
    }
}

fn verdict(wish: &Wish, policy: &Policy) -> &'static str {
    judged(wish, policy, &[])
}

fn judged(wish: &Wish, policy: &Policy, grants: &[Grant]) -> &'static str {
    match permission_verdict(PermissionFacts { role: Role::Implementer, wish, policy, grants }) {
        PermissionVerdict::Allow { .. } => "allow",
        PermissionVerdict::Deny { .. } => "deny",
        PermissionVerdict::Ask => "ask",
    }
}

#[test]
fn every_role_hears_what_it_may_do_instead() {
    let policy = policy(Mode::Deny, &[], &[]);
    for role in Role::iter() {
        let facts = PermissionFacts { role, wish: &bash("ls"), policy: &policy, grants: &[] };
        let PermissionVerdict::Deny { reason } = permission_verdict(facts) else { panic!("it is denied") };
        assert!(reason.starts_with("`Bash` is not allowed in this session, because no rule allows it"), "{reason}");
        assert_eq!(reason.contains("ask_user"), role.traits().tools.contains(&Tool::AskUser));
    }
}

#[test]
fn a_mode_says_what_becomes_of_what_no_rule_settles() {
    let (allow, deny) = ([rule("", "git status", "")], [rule("", "git push", "")]);
    for (mode, status, push, other) in
        [(Mode::Auto, "allow", "deny", "ask"), (Mode::Ask, "ask", "deny", "ask"), (Mode::Deny, "allow", "deny", "deny")]
    {
        let policy = policy(mode, &allow, &deny);
        assert_eq!(verdict(&bash("git status -s"), &policy), status, "{mode}");
        assert_eq!(verdict(&bash("git push origin main"), &policy), push, "{mode}");
        assert_eq!(verdict(&bash("make"), &policy), other, "{mode}");
    }
}

#[test]
fn no_operator_smuggles_a_second_command_past_a_prefix() {
    let policy = policy(Mode::Auto, &[rule("", "git status", "")], &[]);
    for plain in [
        "git status",
        "git  status\t--short",
        "'git' \"status\" 'a;b' \"x && y\"",
        "/bin/bash -lc 'git status'",
        "bash -c \"git status -s\"",
        "sh -c 'bash -lc \"git status\"'",
        "git status *.rs ~/x",
    ] {
        assert_eq!(verdict(&bash(plain), &policy), "allow", "{plain}");
    }
    for smuggled in [
        "git status; rm -rf /",
        "git status;rm x",
        "git status && rm x",
        "git status&&rm x",
        "git status || rm x",
        "git status | sh",
        "git status & rm x",
        "git status $(rm x)",
        "git status `rm x`",
        "git status \"$(rm x)\"",
        "git status \"`rm x`\"",
        "git status ${x:-`rm x`}",
        "git status $HOME",
        "git status\nrm x",
        "git status\r\nrm x",
        "git status\u{b}rm x",
        "git status > /etc/passwd",
        "git status >> x",
        "git status < x",
        "git status <<EOF\nrm\nEOF",
        "git status 2>&1",
        "git status <(rm x)",
        "git status {a,b}",
        "(git status)",
        "{ git status; }",
        "! git status",
        "git status \\\nrm",
        "git status \\; rm",
        "git status 'unfinished",
        "git status \"unfinished",
        "git status $'\\x3b' rm",
        "git status #\nrm x",
        "X=1 git status",
        "gitstatus",
        "git statusx",
        "git",
        "xgit status",
        "/tmp/git status",
        "./git status",
        "bash -lc 'git status; rm x'",
        "bash -c 'git status' rm x",
        "bash -x -c 'git status'",
        "bash -c \"git status $(rm x)\"",
        "sh -c 'bash -c \"git status; rm\"'",
        "env git status",
        "git status\0rm",
        "",
    ] {
        assert_eq!(verdict(&bash(smuggled), &policy), "ask", "{smuggled:?}");
    }
}

#[test]
fn a_rule_that_denies_is_read_broadly_and_beats_everything_that_allows() {
    let everything = [rule("Bash", "", ""), rule("", "git", ""), rule("", "env", "")];
    let policy = policy(Mode::Auto, &everything, &[rule("", "git push", "")]);
    for denied in [
        "git push",
        "git push origin main --force",
        "git -C . push",
        "git -c a=b push",
        "/usr/bin/git push",
        "cd x && git push",
        "cd x;git push",
        "true | git push",
        "echo $(git push)",
        "echo `git push`",
        "bash -lc 'git push'",
        "bash -lc \"cd x; git push\"",
        "g'i't pu\"s\"h",
        "g\\it push",
        "FOO=1 BAR=2 git push",
        "env -i git push",
        "sudo -n git push",
        "timeout 5 git push",
        "find . -exec git push ;",
        "xargs git push",
        "if true; then git push; fi",
        "git status\ngit push",
        "(git push)",
        "{ git push; }",
        "! git push",
    ] {
        assert_eq!(verdict(&bash(denied), &policy), "deny", "{denied:?}");
    }
    assert_eq!(verdict(&bash("git pull"), &policy), "allow");
    assert_eq!(verdict(&bash("ls -l"), &policy), "allow", "the whole tool is allowed");
    // What the rule that denies cannot read is asked about, although the whole tool is allowed.
    for unread in ["a=git; $a push", "eval \"$x\"", "bash script.sh", "sh", "ls; ls"] {
        assert_eq!(verdict(&bash(unread), &policy), "ask", "{unread:?}");
    }
    let grants = [Grant::Command { tool: "Bash".into(), command: "git push".into() }];
    assert_eq!(judged(&bash("git push"), &policy, &grants), "deny");
}

#[test]
fn paths_are_compared_part_by_part_and_all_of_them_must_fit() {
    let policy = policy(
        Mode::Auto,
        &[rule("Edit", "", "src"), rule("Edit", "", "docs/**/*.md"), rule("Edit", "", "/tmp/x")],
        &[rule("", "", "src/secret"), rule("", "", "**/*.pem")],
    );
    for (path, is) in [
        ("/place/checkout/src/lib.rs", "allow"),
        ("/place/checkout/src", "allow"),
        ("/place/checkout/./src//a/../b.rs", "allow"),
        ("/place/checkout/docs/a.md", "allow"),
        ("/place/checkout/docs/a/b/c.md", "allow"),
        ("/tmp/x/y", "allow"),
        ("/place/checkout/srcs/lib.rs", "ask"),
        ("/place/checkout_evil/src/lib.rs", "ask"),
        ("/place/checkout/src/../../../etc/passwd", "ask"),
        ("/place/checkout/docs/a.txt", "ask"),
        ("/tmp/xy", "ask"),
        ("src/lib.rs", "ask"),
        ("/place/checkout/src/secret/key", "deny"),
        ("/place/checkout/src/a/b.pem", "deny"),
        ("/place/checkout/b.pem", "deny"),
    ] {
        assert_eq!(verdict(&edit(&[path]), &policy), is, "{path}");
    }
    assert_eq!(verdict(&edit(&["/place/checkout/src/a", "/etc/passwd"]), &policy), "ask");
    assert_eq!(verdict(&edit(&["/place/checkout/src/a", "/place/checkout/src/secret"]), &policy), "deny");
    assert_eq!(verdict(&Wish { resolved: false, ..edit(&["/place/checkout/src/a"]) }, &policy), "ask");
    assert_eq!(verdict(&edit(&[]), &policy), "ask");
    let command = Wish { command: Some("rm -r .".into()), ..edit(&["/place/checkout/src/a"]) };
    assert_eq!(verdict(&command, &policy), "ask", "a rule about paths says nothing of commands");
}

#[test]
fn a_tool_is_named_with_stars() {
    let policy = policy(Mode::Auto, &[rule("mcp__hub__*", "", "")], &[rule("*delete*", "", "")]);
    let tool = |tool: &str| verdict(&Wish { tool: tool.into(), ..Wish::default() }, &policy);
    assert_eq!(tool("mcp__hub__read"), "allow");
    assert_eq!(tool("mcp__hub__delete_all"), "deny");
    assert_eq!(tool("mcp__other__read"), "ask");
}

#[test]
fn what_was_allowed_for_the_session_covers_its_like_and_no_more() {
    let policy = policy(Mode::Ask, &[], &[]);
    let grants = [bash("make; make test").grant(), edit(&["/place/checkout/a"]).grant()];
    assert_eq!(judged(&bash("make; make test"), &policy, &grants), "allow");
    assert_eq!(judged(&bash("make; make test2"), &policy, &grants), "ask");
    assert_eq!(judged(&edit(&["/place/checkout/a"]), &policy, &grants), "allow");
    assert_eq!(judged(&edit(&["/place/checkout/a", "/place/checkout/b"]), &policy, &grants), "ask");
    let fetch = Wish { tool: "WebFetch".into(), ..Wish::default() };
    assert_eq!(judged(&fetch, &policy, &[fetch.grant()]), "allow");
    assert_eq!(judged(&Wish { command: Some("x".into()), ..fetch.clone() }, &policy, &[fetch.grant()]), "ask");
    let prefix = [Grant::Prefix { words: prefix("cargo test").unwrap() }];
    assert_eq!(judged(&bash("cargo test -p x"), &policy, &prefix), "allow");
    assert_eq!(judged(&bash("cargo test; rm x"), &policy, &prefix), "ask");
}

#[test]
fn rules_of_role_and_project_add_up_and_the_stricter_mode_counts() {
    let all = Permissions {
        roles: BTreeMap::from([(
            Role::Reviewer,
            Rules { mode: Some(Mode::Deny), allow: vec![rule("", "git diff", "")], ..Rules::default() },
        )]),
        deny: vec![rule("", "git push", "")],
        ..Permissions::default()
    };
    let project = Rules { mode: Some(Mode::Ask), allow: vec![rule("", "make", "")], ..Rules::default() };
    assert_eq!(all.policy(Role::Implementer, None).mode, Mode::Auto);
    assert_eq!(all.policy(Role::Implementer, Some(&project)).mode, Mode::Ask);
    let reviewer = all.policy(Role::Reviewer, Some(&project));
    assert_eq!((reviewer.mode, reviewer.allow.len(), reviewer.deny.len()), (Mode::Deny, 2, 1));
    let strict = Permissions { mode: Mode::Deny, ..Permissions::default() };
    assert_eq!(strict.policy(Role::Implementer, Some(&project)).mode, Mode::Ask, "it is only the usual one");
}

#[test]
fn a_rule_that_says_nothing_is_refused() {
    let refused = |tool: Option<&str>, command: Option<&str>| {
        let owned = |it: Option<&str>| it.map(str::to_owned);
        Rule::try_from(RuleText { tool: owned(tool), command: owned(command), path: None }).unwrap_err().to_string()
    };
    assert!(refused(None, None).contains("names a `tool`"));
    assert!(refused(Some(" "), None).contains("`tool`"));
    assert!(refused(None, Some("git status && ls")).contains("plain command"));
    assert!(refused(None, Some("''x$y")).contains("plain command"));
}

#[test]
fn an_answer_that_is_none_is_neither_a_yes_nor_a_no() {
    assert_eq!(said("allow once"), Some(Said::Once));
    assert_eq!(said(" Allow "), Some(Said::Once));
    assert_eq!(said("Allow for this session"), Some(Said::Session { prefix: None }));
    let prefix = Some(vec!["cargo".to_owned(), "test".to_owned()]);
    assert_eq!(said("allow for this session: cargo test"), Some(Said::Session { prefix }));
    assert_eq!(said("deny: use make"), Some(Said::No { why: Some("use make".into()) }));
    assert_eq!(said("deny"), Some(Said::No { why: None }));
    for unclear in
        ["yes", "no", "", "allowed", "allow everything", "allow once: please", "allow for this session: a; b"]
    {
        assert_eq!(said(unclear), None, "{unclear}");
    }
}

proptest! {
    #[test]
    fn whatever_follows_an_operator_is_never_allowed_by_a_prefix(
        before in "[a-z -]{0,12}",
        operator in prop::sample::select(vec![";", "&", "&&", "|", "||", "\n", "\r", ">", "<", "$(", "`", "(", ")", "$", "\\"]),
        after in "[ -~]{0,12}",
    ) {
        let policy = policy(Mode::Auto, &[rule("", "git status", "")], &[]);
        let command = format!("git status {before}{operator}{after}");
        prop_assert_eq!(verdict(&bash(&command), &policy), "ask");
    }

    #[test]
    fn a_denied_command_is_denied_whatever_stands_around_it(
        before in "[a-z /.-]{0,12}",
        operator in prop::sample::select(vec!["; ", " && ", "|", "\n", "$(", "`", "(", "& "]),
        options in prop::collection::vec("-[a-z]{1,3}", 0..3),
        after in "[ -~]{0,12}",
    ) {
        let policy = policy(Mode::Auto, &[rule("Bash", "", "")], &[rule("", "git push", "")]);
        let command = format!("{before}{operator}git {} push {after}", options.join(" "));
        prop_assert_eq!(verdict(&bash(&command), &policy), "deny");
    }

    #[test]
    fn no_text_makes_the_reading_fail(text in "\\PC{0,60}", pattern in "[a-z*?/.]{0,20}") {
        let policy = policy(Mode::Auto, &[rule("", "git", ""), rule("", "", &format!("x{pattern}"))], &[rule("", "rm -r", "")]);
        let mut wish = edit(&[&text]);
        wish.command = Some(text);
        verdict(&wish, &policy);
    }
}
