//! Names of clouds, networks and the like: they become file names, metric labels and URL parts.

/// The longest name, in characters.
const LONGEST: usize = 63;

/// Says why `name` cannot be a name, and what one looks like.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let fault = if name.is_empty() {
        "a name is empty".to_owned()
    } else if name.len() > LONGEST {
        format!("the name `{name}` is longer than {LONGEST} characters")
    } else if let Some(bad) = name.chars().find(|c| !is_plain(*c) && !matches!(c, '-' | '_')) {
        format!("the name `{name}` has the character {bad:?}")
    } else if !name.starts_with(is_plain) {
        format!("the name `{name}` starts with a mark")
    } else {
        return Ok(());
    };
    Err(format!("{fault}; use letters, digits, `-` and `_`, as in os-ctl-1"))
}

/// Names are file names, so only what every file system and shell takes as it is.
const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

/// The one of `known` that `word` was probably meant to be.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Counts the insertions, deletions and replacements that turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_a_file_name() {
        let names = ["os-ctl-1", "MX_1", "7", "", "../etc", "a b", "-x", "a.b", "é"];
        let good: Vec<_> = names.into_iter().filter(|name| check(name).is_ok()).collect();
        assert_eq!(good, ["os-ctl-1", "MX_1", "7"]);
    }

    #[test]
    fn a_misspelt_word_finds_its_neighbour_and_a_strange_one_nothing() {
        let known = ["asn", "address", "networks"];
        assert_eq!(closest("adress", known), Some("address"));
        assert_eq!(closest("network", known), Some("networks"));
        assert_eq!(closest("encapsulation", known), None);
    }
}
