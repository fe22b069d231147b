//! The small preprocessor of our WGSL files.
//!
//! Five words, each alone on a line, and one substitution:
//!
//! | text | meaning |
//! | --- | --- |
//! | `#include "x.wgsl"` | the file `shaders/lib/x.wgsl`, once |
//! | `#if NAME` / `#else` / `#endif` | kept where the define is not 0; may nest |
//! | `#for I 8` / `#endfor` | the lines 8 times with `{{I}}` = 0, 1, ...; the count may be a define; may nest |
//! | `{{NAME}}` | the define's value; `{{A + B}}`, `{{A * B}}`, any sum of products of names and numbers |
//!
//! A misspelt word, file or name is an error that carries the line.

use std::collections::BTreeMap;

/// Pieces that shaders may include.
static LIBRARY: &[(&str, &str)] = &[
    ("activation.wgsl", include_str!("../../shaders/lib/activation.wgsl")),
    ("attention.wgsl", include_str!("../../shaders/lib/attention.wgsl")),
    ("dispatch.wgsl", include_str!("../../shaders/lib/dispatch.wgsl")),
    ("f8.wgsl", include_str!("../../shaders/lib/f8.wgsl")),
    ("numbers.wgsl", include_str!("../../shaders/lib/numbers.wgsl")),
    ("philox.wgsl", include_str!("../../shaders/lib/philox.wgsl")),
    ("silu.wgsl", include_str!("../../shaders/lib/silu.wgsl")),
    ("vector.wgsl", include_str!("../../shaders/lib/vector.wgsl")),
    ("weights8.wgsl", include_str!("../../shaders/lib/weights8.wgsl")),
    ("winograd.wgsl", include_str!("../../shaders/lib/winograd.wgsl")),
];

/// A mistake in a shader's text.
#[derive(Debug, thiserror::Error)]
#[error("shader template, line {line}: {what}")]
pub struct TemplateError {
    /// The line, from 1, of the file that was expanded (of the include, for included files).
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

/// Expands a shader's text with the given defines.
///
/// # Errors
/// An unknown word, include or name, or an unbalanced block.
pub fn expand(source: &str, defines: &[(&str, u32)]) -> Result<String, TemplateError> {
    let mut names: BTreeMap<String, u32> = defines.iter().map(|(n, v)| (n.to_string(), *v)).collect();
    let lines: Vec<&str> = source.lines().collect();
    let mut out = String::with_capacity(source.len() * 2);
    let mut included = Vec::new();
    block(&lines, 0, lines.len(), &mut names, &mut included, &mut out)?;
    Ok(out)
}

fn block(
    lines: &[&str],
    start: usize,
    end: usize,
    names: &mut BTreeMap<String, u32>,
    included: &mut Vec<String>,
    out: &mut String,
) -> Result<(), TemplateError> {
    let mut i = start;
    while i < end {
        let err = |what: String| TemplateError { line: i + 1, what };
        let line = lines[i];
        let text = line.trim();
        if let Some(word) = text.strip_prefix('#') {
            let mut parts = word.split_whitespace();
            match parts.next().unwrap_or("") {
                "include" => {
                    let name = text.split('"').nth(1).unwrap_or("");
                    let (_, piece) = LIBRARY
                        .iter()
                        .find(|(n, _)| *n == name)
                        .ok_or_else(|| err(format!("no include file `{name}`")))?;
                    if !included.iter().any(|n| n == name) {
                        included.push(name.to_string());
                        let lines: Vec<&str> = piece.lines().collect();
                        block(&lines, 0, lines.len(), names, included, out)?;
                    }
                    i += 1;
                }
                "if" => {
                    let name = parts.next().unwrap_or("");
                    let on = *names.get(name).unwrap_or(&0) != 0;
                    let (middle, close) = matching(lines, i, end, "if", "endif")?;
                    let (from, to) = match (on, middle) {
                        (true, Some(m)) => (i + 1, m),
                        (true, None) => (i + 1, close),
                        (false, Some(m)) => (m + 1, close),
                        (false, None) => (close, close),
                    };
                    block(lines, from, to, names, included, out)?;
                    i = close + 1;
                }
                "for" => {
                    let name = parts.next().unwrap_or("").to_string();
                    let count = parts.collect::<Vec<_>>().join(" ");
                    let count = evaluate(&count, names).map_err(err)?;
                    let (_, close) = matching(lines, i, end, "for", "endfor")?;
                    for k in 0..count {
                        names.insert(name.clone(), k);
                        block(lines, i + 1, close, names, included, out)?;
                    }
                    names.remove(&name);
                    i = close + 1;
                }
                other => return Err(err(format!("unknown word `#{other}`"))),
            }
        } else {
            substitute(line, names, out).map_err(err)?;
            out.push('\n');
            i += 1;
        }
    }
    Ok(())
}

/// The `#else` (of an `#if`) and the closing line of the block that opens at `at`.
fn matching(
    lines: &[&str],
    at: usize,
    end: usize,
    open: &str,
    close: &str,
) -> Result<(Option<usize>, usize), TemplateError> {
    let (mut depth, mut middle) = (0, None);
    for (k, line) in lines.iter().enumerate().take(end).skip(at) {
        let word = line.trim().strip_prefix('#').and_then(|w| w.split_whitespace().next());
        if word == Some(open) {
            depth += 1;
        } else if word == Some("else") && open == "if" && depth == 1 {
            middle = Some(k);
        } else if word == Some(close) {
            depth -= 1;
            if depth == 0 {
                return Ok((middle, k));
            }
        }
    }
    Err(TemplateError { line: at + 1, what: format!("#{open} without #{close}") })
}

fn substitute(line: &str, names: &BTreeMap<String, u32>, out: &mut String) -> Result<(), String> {
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let (expr, tail) = after.split_once("}}").ok_or("`{{` without `}}`")?;
        out.push_str(before);
        out.push_str(&evaluate(expr, names)?.to_string());
        rest = tail;
    }
    out.push_str(rest);
    Ok(())
}

/// A sum of products of names and numbers.
fn evaluate(expr: &str, names: &BTreeMap<String, u32>) -> Result<u32, String> {
    let mut sum = 0u32;
    for term in expr.split('+') {
        let mut product = 1u32;
        for factor in term.split('*') {
            let factor = factor.trim().trim_start_matches("{{").trim_end_matches("}}");
            let value = match factor.parse::<u32>() {
                Ok(v) => v,
                Err(_) => *names.get(factor).ok_or_else(|| format!("unknown name `{factor}` in `{expr}`"))?,
            };
            product = product.checked_mul(value).ok_or("number too large")?;
        }
        sum = sum.checked_add(product).ok_or("number too large")?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_conditions_and_names() {
        let text = "#for I N\n#if ODD\na{{I}} = {{I * 2 + 1}};\n#else\nb{{I}}\n#endif\n#endfor\nend";
        assert_eq!(expand(text, &[("N", 2), ("ODD", 1)]).unwrap(), "a0 = 1;\na1 = 3;\nend\n");
        assert_eq!(expand(text, &[("N", 1)]).unwrap(), "b0\nend\n");
    }

    #[test]
    fn mistakes_carry_the_line() {
        for (text, want) in [
            ("x\n#inclde \"a\"", "line 2: unknown word `#inclde`"),
            ("#include \"nothing.wgsl\"", "no include file `nothing.wgsl`"),
            ("\n\n{{NAME}}", "line 3: unknown name `NAME`"),
            ("#if A\nx", "#if without #endif"),
            ("#for I 3\nx", "#for without #endfor"),
        ] {
            let error = expand(text, &[]).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
