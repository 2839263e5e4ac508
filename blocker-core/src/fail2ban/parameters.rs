//! `name[key=value, key="value"][more]`, as filters and actions are called.

use std::collections::BTreeMap;

use super::fault::Problem;
use super::ini::Value;

/// A filter or an action, and what it is called with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its parameters, by their names in small letters; a later one of the same name wins.
    pub parameters: BTreeMap<String, String>,
}

impl Named {
    /// Reads one, as after `filter =`.
    ///
    /// # Errors
    ///
    /// [`Problem::Parameters`].
    pub fn read(text: &str) -> Result<Self, Problem> {
        let mut rest = text.trim();
        let named = Self::next(&mut rest)?;
        if rest.is_empty() { Ok(named) } else { Err(unreadable(text, "there is something behind it")) }
    }

    /// Reads all of a list, as after `action =`: one a line, or with blanks or commas between them.
    ///
    /// # Errors
    ///
    /// [`Problem::Parameters`].
    pub fn read_all(text: &str) -> Result<Vec<Self>, Problem> {
        let is_between = |c: char| c.is_whitespace() || c == ',';
        let mut rest = text.trim_start_matches(is_between);
        let mut all = Vec::new();
        while !rest.is_empty() {
            if all.len() == MAX_LISTED {
                return Err(unreadable(text, "there are more than 64 of them"));
            }
            all.push(Self::next(&mut rest)?);
            rest = rest.trim_start_matches(is_between);
        }
        Ok(all)
    }

    /// Reads the one that `rest` begins with.
    fn next(rest: &mut &str) -> Result<Self, Problem> {
        let found = *rest;
        let end = found.find(|c: char| c == '[' || c == ',' || c.is_whitespace()).unwrap_or(found.len());
        let (name, after) = found.split_at(end);
        if name.is_empty() {
            return Err(unreadable(found, "it has no name"));
        }
        let mut parameters = BTreeMap::new();
        *rest = after;
        while let Some(list) = rest.strip_prefix('[') {
            *rest = list;
            while !read_end(rest) {
                let (key, value) = read_one(rest).map_err(|why| unreadable(found, why))?;
                parameters.insert(key, value);
            }
        }
        // A blank before the bracket would make it part of the name.
        if rest.trim_start_matches([' ', '\t']).starts_with('[') {
            return Err(unreadable(found, "there is a blank before the bracket"));
        }
        Ok(Self { name: name.to_owned(), parameters })
    }
}

/// Most of a list.
const MAX_LISTED: usize = 64;

fn unreadable(found: &str, why: &'static str) -> Problem {
    Problem::Parameters { found: found.to_owned(), why }
}

/// Whether the list ends here; goes behind its end.
fn read_end(rest: &mut &str) -> bool {
    *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    rest.strip_prefix(']').is_some_and(|after| {
        *rest = after;
        true
    })
}

fn read_one(rest: &mut &str) -> Result<(String, String), &'static str> {
    if rest.is_empty() {
        return Err("the bracket is not closed");
    }
    let (key, after) = rest.split_once('=').ok_or("a parameter has no value")?;
    // `opt?family=inet6=value` is for one family of addresses.
    let (key, after) = match (key.ends_with("?family"), after.split_once('=')) {
        (true, Some((family, after))) if ["inet4", "inet6"].contains(&family) => (format!("{key}={family}"), after),
        (true | false, _) => (key.to_owned(), after),
    };
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || "[],'\"".contains(c)) {
        return Err("expected `name=` without blanks");
    }
    let after = after.trim_start_matches([' ', '\t']);
    let (value, after) = match after.chars().next() {
        Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).ok_or("a quote is not closed")?,
        Some(_) | None => {
            let end = after.find([',', ']']).ok_or("the bracket is not closed")?;
            let (value, after) = after.split_at(end);
            if value.contains(['"', '\'', '=']) {
                return Err("a value has quotes or signs that want it in quotes");
            }
            (value.trim(), after)
        }
    };
    *rest = after.trim_start();
    if rest.starts_with([',', ']']) || rest.is_empty() {
        Ok((key.to_lowercase(), value.to_owned()))
    } else {
        Err("expected a comma behind a value")
    }
}

/// The parameters as values that stand where `at` does, nothing being put into them.
pub(super) fn as_values<'a>(
    parameters: &'a BTreeMap<String, String>,
    at: &'a super::Place,
) -> impl Iterator<Item = (String, Value)> + 'a {
    parameters
        .iter()
        .map(|(key, text)| (key.clone(), Value { text: text.replace('%', "%%"), place: at.clone(), previous: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Vec<(String, String)>) {
        let Named { name, parameters } = Named::read(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
        (name, parameters.into_iter().collect())
    }

    fn parameters(text: &str) -> Vec<(String, String)> {
        read(text).1
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn values_are_quoted_or_not() {
        assert_eq!(read("sshd"), ("sshd".into(), vec![]));
        assert_eq!(read("f[]"), ("f".into(), vec![]));
        assert_eq!(
            parameters("f[p=1, q=\"x]y,z\", t='a \"b\"',u=un quoted ]"),
            pairs(&[("p", "1"), ("q", "x]y,z"), ("t", "a \"b\""), ("u", "un quoted")])
        );
        assert_eq!(parameters("f[p=']', q='\"', r=\"it's\"]"), pairs(&[("p", "]"), ("q", "\""), ("r", "it's")]));
        assert_eq!(parameters("f[p=<q>, r=x-y/z.$^, s=]"), pairs(&[("p", "<q>"), ("r", "x-y/z.$^"), ("s", "")]));
        assert_eq!(parameters("f[p=1,]"), pairs(&[("p", "1")]));
    }

    #[test]
    fn they_may_be_on_several_lines_and_in_several_brackets() {
        assert_eq!(parameters("f[p=\"a\nb\",\nq=3]"), pairs(&[("p", "a\nb"), ("q", "3")]));
        assert_eq!(parameters("f[p=1][q=2][P=3]"), pairs(&[("p", "3"), ("q", "2")]));
        assert_eq!(
            parameters("f[port?family=inet6=\"1,2\", port=3]"),
            pairs(&[("port", "3"), ("port?family=inet6", "1,2")])
        );
    }

    #[test]
    fn what_fail2ban_refuses_is_refused() {
        for text in
            ["f [p=1]", "f[p=1", "f[p]", "f[p = 1]", "f[p=\"1]", "f[p=\"1\"x]", "f\nfoo", "f[=1]", "f[p=a\"b]", ""]
        {
            assert!(Named::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_has_one_on_a_line_or_several() {
        let names = |text| Named::read_all(text).unwrap().into_iter().map(|named| named.name).collect::<Vec<_>>();

        assert_eq!(
            names("iptables-multiport[name=a, port=\"1,2\"]\n  sendmail-whois[name=a,\n dest=root]"),
            ["iptables-multiport", "sendmail-whois"]
        );
        assert_eq!(names("a[x=1] b,c"), ["a", "b", "c"]);
        assert_eq!(names(" \n"), Vec::<String>::new());
    }
}
