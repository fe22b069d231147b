//! Names of tensors: old spellings, and near ones for error messages.

/// Attention tensors as diffusers named them before version 0.14, by today's name.
const OLD_ATTENTION: [(&str, &str); 4] =
    [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")];

/// The name that an old checkpoint has for today's `name`: `..query.weight` for `..to_q.weight`.
pub fn old_attention_name(name: &str) -> Option<String> {
    OLD_ATTENTION.iter().find(|(new, _)| name.contains(new)).map(|(new, old)| name.replacen(new, old, 1))
}

/// Today's name of an old attention tensor, or the name itself.
pub fn new_attention_name(name: &str) -> String {
    match OLD_ATTENTION.iter().find(|(_, old)| name.contains(old)) {
        Some((new, old)) if name.contains("attentions.") => name.replacen(old, new, 1),
        _ => name.to_owned(),
    }
}

/// Up to three of `names` that are spelt most like `name`, as `" (near: a, b)"`; empty where none is.
pub fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    const CONSIDERED: usize = 4000;
    const LONGEST: usize = 200;
    if name.len() > LONGEST {
        return String::new();
    }
    let mut ranked: Vec<(usize, &str)> = names
        .filter(|n| n.len() <= LONGEST)
        .take(CONSIDERED)
        .map(|n| (distance(name.as_bytes(), n.as_bytes()), n))
        .filter(|(d, _)| *d <= name.len() / 3)
        .collect();
    ranked.sort();
    ranked.truncate(3);
    if ranked.is_empty() {
        return String::new();
    }
    let list: Vec<String> = ranked.iter().map(|(_, n)| format!("`{n}`")).collect();
    format!(" (near: {})", list.join(", "))
}

/// Levenshtein's distance.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_attention_names_go_both_ways() {
        let new = "mid_block.attentions.0.to_out.0.weight";
        let old = "mid_block.attentions.0.proj_attn.weight";
        assert_eq!(old_attention_name(new).as_deref(), Some(old));
        assert_eq!(new_attention_name(old), new);
        assert_eq!(new_attention_name("a.key.weight"), "a.key.weight");
        assert_eq!(old_attention_name("conv_in.weight"), None);
    }

    #[test]
    fn near_names_come_nearest_first() {
        assert_eq!(distance(b"kitten", b"sitting"), 3);
        let text = near("conv_in.weight", ["conv_out.weight", "conv_in.weights", "zzz"].into_iter());
        assert_eq!(text, " (near: `conv_in.weights`, `conv_out.weight`)");
        assert_eq!(near("x", ["yyyyyyyy"].into_iter()), "");
    }
}
