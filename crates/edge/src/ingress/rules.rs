//! Which requests a path of an Ingress matches, and which rule is asked first, as Traefik documents it.
//!
//! Traefik v3 turns every path into a rule such as ``Host(`a.b`) && PathPrefix(`/x`)``. The longest rule text is asked first.
//! `PathPrefix` compares text, not segments, unless strict prefix matching is on (pkg/provider/kubernetes/ingress/kubernetes.go and
//! pkg/muxer/http/matcher.go, v3.6).

use std::cmp::Reverse;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    Any,
    Exact(String),
    /// `*.example.com`, kept without its star: exactly one more label matches.
    Wildcard(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    Exact,
    Prefix,
    /// By segments: `/a` matches `/a` and `/a/b`, not `/ab`.
    StrictPrefix,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub host: HostMatch,
    pub path: Option<(PathKind, String)>,
    /// Overrides the length of the rule.
    pub priority: Option<i64>,
}

impl Rule {
    pub fn matches(&self, host: &str, path: &str) -> bool {
        self.matches_host(host) && self.matches_path(path)
    }

    fn matches_host(&self, host: &str) -> bool {
        match &self.host {
            HostMatch::Any => true,
            HostMatch::Exact(expected) => host.eq_ignore_ascii_case(expected),
            HostMatch::Wildcard(suffix) => {
                let Some(at) = host.len().checked_sub(suffix.len()).filter(|at| host.is_char_boundary(*at)) else {
                    return false;
                };
                let (label, end) = host.split_at(at);
                let label = label.as_bytes();
                let valid = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
                end.eq_ignore_ascii_case(suffix) && !label.is_empty() && label.iter().all(valid)
            }
        }
    }

    fn matches_path(&self, path: &str) -> bool {
        match &self.path {
            None => true,
            Some((PathKind::Exact, expected)) => path == expected,
            Some((PathKind::Prefix, prefix)) => path.starts_with(prefix.as_str()),
            Some((PathKind::StrictPrefix, prefix)) => {
                let prefix = prefix.trim_end_matches('/');
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    /// Rules with a greater one are asked first.
    pub fn order(&self) -> i64 {
        self.priority.unwrap_or_else(|| i64::try_from(self.text().len()).unwrap_or(i64::MAX))
    }

    /// The rule as Traefik writes it.
    pub fn text(&self) -> String {
        let host = match &self.host {
            HostMatch::Any => None,
            HostMatch::Exact(host) => Some(format!("Host(`{host}`)")),
            HostMatch::Wildcard(suffix) => Some(format!("HostRegexp(`^[a-zA-Z0-9-]+{}$`)", suffix.replace('.', r"\."))),
        };
        let path = self.path.as_ref().map(|(kind, path)| match kind {
            PathKind::Exact => format!("Path(`{path}`)"),
            PathKind::Prefix => format!("PathPrefix(`{path}`)"),
            PathKind::StrictPrefix if path == "/" => "PathPrefix(`/`)".to_owned(),
            PathKind::StrictPrefix => format!("(Path(`{0}`) || PathPrefix(`{0}/`))", path.trim_end_matches('/')),
        });
        host.into_iter().chain(path).collect::<Vec<_>>().join(" && ")
    }
}

/// Sorts what `rule` finds in each item so that the first match is the right one. Equal rules keep their order.
pub fn sort_by_precedence<T>(items: &mut [T], rule: impl Fn(&T) -> &Rule) {
    items.sort_by_key(|item| Reverse(rule(item).order()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(host: &str, kind: PathKind, path: &str) -> Rule {
        let host = match (host, host.strip_prefix('*')) {
            ("", _) => HostMatch::Any,
            (_, Some(suffix)) => HostMatch::Wildcard(suffix.to_owned()),
            (host, None) => HostMatch::Exact(host.to_owned()),
        };
        Rule { host, path: (!path.is_empty()).then(|| (kind, path.to_owned())), priority: None }
    }

    #[track_caller]
    fn check(rules: &[Rule], host: &str, path: &str, expected: Option<&str>) {
        let mut rules = rules.to_vec();
        sort_by_precedence(&mut rules, |rule| rule);
        let found = rules.iter().find(|rule| rule.matches(host, path)).map(Rule::text);
        assert_eq!(found.as_deref(), expected, "{host}{path}");
    }

    #[test]
    fn the_longest_rule_is_asked_first() {
        let rules = [
            rule("", PathKind::Prefix, "/"),
            rule("", PathKind::Prefix, "/api"),
            rule("", PathKind::Prefix, "/api/v1"),
            rule("a.b", PathKind::Prefix, "/"),
        ];
        check(&rules, "x", "/", Some("PathPrefix(`/`)"));
        check(&rules, "x", "/api/v2", Some("PathPrefix(`/api`)"));
        check(&rules, "x", "/api/v1/pods", Some("PathPrefix(`/api/v1`)"));
        // Text length decides, not which kind of rule it is: the host's rule is the longest here.
        check(&rules, "a.b", "/api/v1/pods", Some("Host(`a.b`) && PathPrefix(`/`)"));
        check(&rules, "A.B", "/", Some("Host(`a.b`) && PathPrefix(`/`)"));
    }

    #[test]
    fn a_prefix_is_text_unless_matching_is_strict() {
        check(&[rule("", PathKind::Prefix, "/api")], "x", "/apiary", Some("PathPrefix(`/api`)"));
        let strict = [rule("", PathKind::StrictPrefix, "/api")];
        check(&strict, "x", "/apiary", None);
        check(&strict, "x", "/api", Some("(Path(`/api`) || PathPrefix(`/api/`))"));
        check(&strict, "x", "/api/x", Some("(Path(`/api`) || PathPrefix(`/api/`))"));
        check(&[rule("", PathKind::StrictPrefix, "/")], "x", "/anything", Some("PathPrefix(`/`)"));
    }

    #[test]
    fn an_exact_path_matches_itself_alone() {
        let rules = [rule("", PathKind::Exact, "/a")];
        check(&rules, "x", "/a", Some("Path(`/a`)"));
        check(&rules, "x", "/a/", None);
        check(&rules, "x", "/a/b", None);
    }

    #[test]
    fn a_wildcard_host_matches_exactly_one_label() {
        let rules = [rule("*.example.com", PathKind::Prefix, "")];
        check(&rules, "a-1.example.com", "/", Some(r"HostRegexp(`^[a-zA-Z0-9-]+\.example\.com$`)"));
        check(&rules, "example.com", "/", None);
        check(&rules, ".example.com", "/", None);
        check(&rules, "a.b.example.com", "/", None);
        check(&rules, "ñ.example.com", "/", None);
    }

    #[test]
    fn a_priority_overrides_the_length() {
        let mut first = rule("", PathKind::Prefix, "/");
        first.priority = Some(1000);
        check(&[rule("", PathKind::Prefix, "/api"), first], "x", "/api", Some("PathPrefix(`/`)"));
    }
}
