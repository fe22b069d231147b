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
    /// Labels are `0 .. all`, the empty class among them.
    all: usize,
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
        Classes { labels, all, names, null }
    }

    pub fn null(&self) -> Option<u32> {
        self.null
    }

    /// By their order without the empty class.
    pub fn names(&self) -> Vec<String> {
        (0..self.count()).map(|i| self.name(self.real(i))).collect()
    }

    /// How many there are without the empty class.
    fn count(&self) -> usize {
        self.all - usize::from(self.null.is_some())
    }

    /// The label of the class `i`, counted without the empty one.
    fn real(&self, i: usize) -> usize {
        i + usize::from(self.null.is_some_and(|n| n as usize <= i))
    }

    fn name(&self, label: usize) -> String {
        let found = u32::try_from(label).ok().and_then(|l| self.names.get(&l));
        found.cloned().unwrap_or_else(|| label.to_string())
    }

    /// The label of image `index`.
    pub fn label(&self, class: &Class, index: u64) -> Result<f32, PipelineError> {
        let refuse = |what: String| PipelineError::Option { option: "class", what };
        let turn = || match self.count() as u64 {
            0 => Err(refuse("this model does not say how many classes it has: give a number".into())),
            count => Ok(self.real((index % count) as usize) as f32),
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
            (_, Class::Index(i)) if *i < self.all => Ok(*i as f32),
            (_, Class::Index(i)) => Err(refuse(format!("no class {i}; there are {}", self.list()))),
            (_, Class::Name(name)) => match self.find(name)[..] {
                [label] => Ok(label as f32),
                [] => Err(refuse(format!("no class `{name}`; there are {}", self.list()))),
                _ => Err(refuse(format!("`{name}` begins more than one class; there are {}", self.list()))),
            },
        }
    }

    /// The labels of the classes that `name` may mean: one of just that name alone.
    fn find(&self, name: &str) -> Vec<u32> {
        let name = name.to_lowercase();
        let labels = |fits: &dyn Fn(&str) -> bool| -> Vec<u32> {
            self.names.iter().filter(|(_, n)| fits(&n.to_lowercase())).map(|(i, _)| *i).collect()
        };
        match labels(&|n| n == name) {
            exact if !exact.is_empty() => exact.into_iter().take(1).collect(),
            _ => labels(&|n| n.starts_with(&name)),
        }
    }

    fn list(&self) -> String {
        let count = self.count();
        if count == 0 {
            return "none that have a name".into();
        }
        let say = |i| match self.real(i) {
            label if self.names.contains_key(&(label as u32)) => format!("{label} {}", self.name(label)),
            label => label.to_string(),
        };
        let shown = (0..count.min(20)).map(say);
        let rest = if count > 20 { format!(" ... {}", self.real(count - 1)) } else { String::new() };
        shown.collect::<Vec<_>>().join(", ") + &rest
    }
}
