//! All filters there are: the built-in ones, and those of files that an administrator wrote.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::Filter;
use super::examples::{Examples, InvalidExamples};
use super::patterns::definition::Definition;
use super::patterns::{InvalidPattern, Patterns};

/// Filters by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Filter>);

/// Why a filter's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidFilter {
    /// Not TOML, or not of the shape of a filter.
    #[error("{0}")]
    Syntax(Box<toml::de::Error>),
    /// A pattern in it is none.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// Not a name.
    #[error("`name` is {0:?}, expected 1 to 31 of a-z, 0-9, `_` and `-`")]
    Name(String),
    /// It extends what is not there.
    #[error("it extends `{0}`, and there is no such filter before it")]
    NothingToExtend(String),
    /// Larger than a filter is.
    #[error("it has {0} patterns, expected at most {MAX_PATTERNS}")]
    TooMany(usize),
}

impl Filters {
    /// Those that are built in.
    ///
    /// # Panics
    ///
    /// If one of them is faulty: a test compiles them all.
    #[must_use]
    pub fn builtin() -> Self {
        static ONCE: LazyLock<Filters> = LazyLock::new(|| {
            let mut filters = Filters(BTreeMap::new());
            for filter in [Filter::Dovecot, Filter::Bans] {
                filters.0.insert(filter.name().to_owned(), filter);
            }
            for text in BUILTIN {
                filters.add(text).expect("built-in filters compile");
            }
            filters
        });
        ONCE.clone()
    }

    /// Adds the filter of a file, in place of the one of the same name if there is one. Returns its name.
    ///
    /// # Errors
    ///
    /// Why the file is none.
    pub fn add(&mut self, text: &str) -> Result<String, InvalidFilter> {
        let definition: Definition = toml::from_str(text).map_err(|error| InvalidFilter::Syntax(Box::new(error)))?;
        let name = definition.name.clone();
        let of_names = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(of_names) {
            return Err(InvalidFilter::Name(name));
        }
        let count = definition.patterns.len() + definition.successes.len() + definition.ignored.len();
        if count > MAX_PATTERNS {
            return Err(InvalidFilter::TooMany(count));
        }
        let base = if definition.extends {
            Some(self.by_name(&name).cloned().ok_or_else(|| InvalidFilter::NothingToExtend(name.clone()))?)
        } else {
            None
        };
        let filter = Filter::Patterns(Arc::new(Patterns::compile(definition, base)?));
        self.0.insert(name.clone(), filter);
        Ok(name)
    }

    /// The filter called `name`, also by a name that it has had.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Filter> {
        self.0.get(name).or_else(|| self.0.get(present_name(name)))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Filter> {
        self.0.values()
    }
}

impl Filter {
    /// Its own examples: lines and what they must yield.
    ///
    /// # Errors
    ///
    /// [`InvalidExamples`] if the file that holds them cannot be used.
    pub fn examples(&self) -> Result<Examples, InvalidExamples> {
        match self {
            Self::Dovecot => super::examples::parse(self.name(), include_str!("dovecot.toml")),
            Self::Bans => Ok(Examples {
                name: self.name().to_owned(),
                description: "Bans by other jails, of whoever comes back again and again".to_owned(),
                examples: Vec::new(),
            }),
            Self::Patterns(patterns) => {
                let definition = patterns.definition();
                Ok(Examples {
                    name: definition.name.clone(),
                    description: definition.description.clone(),
                    examples: definition.examples.clone(),
                })
            }
            // fail2ban's files have none.
            Self::Fail2ban(filter) => Ok(Examples {
                name: filter.definition().name.clone(),
                description: "a filter of fail2ban".to_owned(),
                examples: Vec::new(),
            }),
        }
    }
}

/// What a filter is called that has had another name; any other name as it is.
#[must_use]
pub fn present_name(name: &str) -> &str {
    match name {
        // Was a filter for half of Dovecot's lines, to be used in place of the one for the others.
        "dovecot-auth" => "dovecot",
        _ => name,
    }
}

/// Longest name of a filter, as of a jail.
const MAX_NAME_BYTES: usize = 31;

/// Most expressions of one filter.
pub const MAX_PATTERNS: usize = 256;

/// The files of the built-in filters.
const BUILTIN: &[&str] = &[
    include_str!("builtin/apache.toml"),
    include_str!("builtin/courier.toml"),
    include_str!("builtin/cyrus.toml"),
    include_str!("builtin/exim.toml"),
    include_str!("builtin/nginx.toml"),
    include_str!("builtin/postfix.toml"),
    include_str!("builtin/postfix-postscreen.toml"),
    include_str!("builtin/proftpd.toml"),
    include_str!("builtin/pure-ftpd.toml"),
    include_str!("builtin/roundcube.toml"),
    include_str!("builtin/rspamd.toml"),
    include_str!("builtin/sendmail.toml"),
    include_str!("builtin/sogo.toml"),
    include_str!("builtin/sshd.toml"),
    include_str!("builtin/stalwart.toml"),
    include_str!("builtin/vsftpd.toml"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_same_name_replaces_a_built_in_filter() {
        let mut filters = Filters::builtin();
        let count = filters.iter().count();

        let text = "name = 'postfix'\ndescription = 'mine'\nprogram = []\n[[pattern]]\nname = 'x'\nmatch = '<ADDR>'";
        assert_eq!(filters.add(text).unwrap(), "postfix");

        assert_eq!(filters.iter().count(), count);
        assert_eq!(filters.by_name("postfix").unwrap().examples().unwrap().description, "mine");
    }

    #[test]
    fn a_filter_is_found_by_the_name_that_it_had() {
        let filters = Filters::builtin();

        assert_eq!(filters.by_name("dovecot-auth"), Some(&Filter::Dovecot));
        assert_eq!(filters.iter().filter(|filter| **filter == Filter::Dovecot).count(), 1);

        let mut filters = Filters::builtin();
        let text = "name = 'dovecot-auth'\ndescription = 'mine'\nextends = true\nprogram = []";
        filters.add(text).map_err(|error| error.to_string()).unwrap();
        assert_eq!(filters.by_name("dovecot-auth").unwrap().name(), "dovecot-auth", "one's own goes before it");
    }

    #[test]
    fn no_built_in_pattern_can_be_made_to_name_somebody_else() {
        for filter in Filters::builtin().iter() {
            if let Filter::Patterns(patterns) = filter {
                assert_eq!(patterns.attacks(), [], "{}", filter.name());
            }
        }
    }

    /// What docs/filters.md shows as a filter is one, and does what its examples say.
    #[test]
    fn the_documented_filters_work() {
        let page = include_str!("../../../docs/filters.md");
        let blocks: Vec<&str> = page
            .split("```toml\n")
            .skip(1)
            .filter_map(|block| block.split("```\n").next())
            .filter(|block| block.contains("\nprogram = ") && block.contains("name = "))
            .filter(|block| block.starts_with("name"))
            .collect();
        assert_eq!(blocks.len(), 2, "the shop's, and the extension of Dovecot's");

        for block in blocks {
            let mut filters = Filters::builtin();
            let name = filters.add(block).map_err(|error| error.to_string()).unwrap();
            let filter = filters.by_name(&name).unwrap();
            let verdicts = super::super::examples::run(filter).map_err(|error| error.to_string()).unwrap();
            let failed: Vec<_> = verdicts.iter().filter_map(|verdict| verdict.difference.as_ref()).collect();
            assert_eq!(failed, Vec::<&String>::new(), "{name}");
            let Filter::Patterns(patterns) = filter else { panic!("{name} is of patterns") };
            assert_eq!(patterns.attacks(), [], "{name}");
        }
    }

    #[test]
    fn the_documented_fault_and_the_documented_warning_are_what_is_said() {
        let page = include_str!("../../../docs/filters.md");
        let pattern = |expression: &str| {
            let text = format!(
                "name = 'shop'\ndescription = ''\nprogram = ['shop']\n[[pattern]]\nname = 'wrong password'\nmatch = '''{expression}'''"
            );
            let mut filters = Filters::builtin();
            filters.add(&text).map_err(|error| error.to_string()).map(|name| match filters.by_name(&name) {
                Some(Filter::Patterns(patterns)) => patterns.attacks(),
                other => panic!("{other:?}"),
            })
        };

        let fault = pattern("login of <USER> refused: wrong password (client <ADDR>\\)").unwrap_err();
        assert!(page.contains(&format!("shop.toml: {fault}\n")), "{fault}");
        let attacks = pattern(".*wrong password.*client <ADDR>.*").unwrap();
        assert!(page.contains(&format!("    {}\n", attacks[0].message)), "{}", attacks[0].message);
    }

    #[test]
    fn a_name_is_one() {
        let named = |name: &str| {
            Filters::builtin()
                .add(&format!("name = '{name}'\ndescription = ''\nprogram = []"))
                .map_err(|e| e.to_string())
        };

        assert!(named("my-filter_2").is_ok());
        for name in ["", "My", "a b", "../x", &"x".repeat(32)] {
            assert!(named(name).unwrap_err().starts_with("`name` is "), "{name}");
        }
    }
}
