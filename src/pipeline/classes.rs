//! Which class each image gets.

use super::PipelineError;
use crate::models::Labels;
use crate::weights::diffusers::ModelIndex;
use std::collections::BTreeMap;

/// What to draw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Whatever the model draws: each class in turn, or no class where it has none.
    #[default]
    Auto,
    /// Every class in turn, by the image's index.
    All,
    /// The model's "no class".
    None,
    /// A class by its label.
    Index(usize),
    /// A class by its name, in any case, or by how the name begins.
    Name(String),
}

impl std::str::FromStr for Class {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text, text.parse()) {
            ("all", _) => Class::All,
            ("none", _) => Class::None,
            (_, Ok(index)) => Class::Index(index),
            _ => Class::Name(text.to_string()),
        })
    }
}

/// The classes of a model.
#[derive(Debug)]
pub(super) struct Classes {
    labels: Labels,
    count: usize,
    names: BTreeMap<u32, String>,
    null: Option<u32>,
}

impl Classes {
    pub fn new(labels: Labels, index: &ModelIndex) -> Classes {
        let all = match labels {
            Labels::Class { classes } => classes,
            _ => index.id2label.len(),
        };
        let null = index.null_class.filter(|&n| matches!(labels, Labels::Class { .. }) && (n as usize) < all);
        let inside = |id: u32| (id as usize) < all && Some(id) != null;
        let names: BTreeMap<_, _> =
            index.id2label.iter().filter(|(id, _)| inside(**id)).map(|(i, n)| (*i, n.clone())).collect();
        // The empty class stands behind the real ones.
        let count = null.map_or(all, |n| n as usize);
        Classes { labels, count, names, null }
    }

    pub fn null(&self) -> Option<u32> {
        self.null
    }

    pub fn names(&self) -> Vec<String> {
        (0..self.count).map(|i| self.names.get(&(i as u32)).cloned().unwrap_or_else(|| i.to_string())).collect()
    }

    /// The label of image `index`.
    pub fn label(&self, class: &Class, index: u64) -> Result<f32, PipelineError> {
        let refuse = |what: String| PipelineError::Option { option: "class", what };
        let turn = || match self.count as u64 {
            0 => Err(refuse("this model does not say how many classes it has: give a number".into())),
            count => Ok((index % count) as f32),
        };
        match (self.labels, class) {
            (Labels::None, Class::Auto) => Ok(0.0),
            (Labels::None, _) => Err(refuse("this model has no classes: leave --class out".into())),
            (Labels::Vector { len }, _) => Err(refuse(format!(
                "this model takes a vector of {len} numbers as its class (class_embed_type `identity`), \
                 which cannot be named: it can be run by the library's graph, not sampled"
            ))),
            (_, Class::Auto | Class::All) => turn(),
            (_, Class::None) => match self.null {
                Some(n) => Ok(n as f32),
                None => Err(refuse("this model was trained without an empty class: name one".into())),
            },
            (Labels::Number, Class::Index(i)) if *i < 1 << 24 => Ok(*i as f32),
            (_, Class::Index(i)) if *i < self.count => Ok(*i as f32),
            (_, Class::Index(i)) => Err(refuse(format!("no class {i}; there are {}", self.list()))),
            (_, Class::Name(name)) => self.find(name).map(|i| i as f32).ok_or_else(|| {
                refuse(format!("no class `{name}` (or more than one begins so); there are {}", self.list()))
            }),
        }
    }

    fn find(&self, name: &str) -> Option<u32> {
        let name = name.to_lowercase();
        let exact = self.names.iter().find(|(_, n)| n.to_lowercase() == name);
        let mut begins = self.names.iter().filter(|(_, n)| n.to_lowercase().starts_with(&name));
        exact.or_else(|| begins.next().filter(|_| begins.next().is_none())).map(|(i, _)| *i)
    }

    fn list(&self) -> String {
        if self.count == 0 {
            return "none that have a name".into();
        }
        let names = self.names();
        let shown = names.iter().enumerate().take(20).map(|(i, n)| format!("{i} {n}"));
        let rest = if names.len() > 20 { format!(" ... {}", names.len() - 1) } else { String::new() };
        shown.collect::<Vec<_>>().join(", ") + &rest
    }
}
