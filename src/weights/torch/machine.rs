//! The machine that reads a pickle: the opcodes of protocol 2 (and the few that later ones write
//! for the same values), building plain values. It names functions but never calls one: what
//! each known global makes of its arguments is written here. Anything else is an error that says
//! what and where.

use super::value::{known, Id, Known, Node, Number, Storage, Tensor, Value};
use std::collections::HashMap;

/// Memory that the values of any pickle may take, in bytes: more than honest ones ever need.
const LEAST_BUDGET: usize = 4 << 20;
/// The longest integer, in bytes (torch's magic number has ten).
const LONGEST: usize = 16;

/// Values and what they hold.
#[derive(Debug, Default)]
pub(super) struct Arena<'p> {
    pub(super) nodes: Vec<Node>,
    pub(super) text: &'p [u8],
}

impl<'p> Arena<'p> {
    pub(super) fn node(&self, v: Value) -> Option<&Node> {
        match v {
            Value::At(Id(i)) => self.nodes.get(i as usize),
            _ => None,
        }
    }

    pub(super) fn str(&self, v: Value) -> Option<&'p str> {
        match self.node(v)? {
            Node::Text(from, to) => std::str::from_utf8(self.text.get(*from..*to)?).ok(),
            _ => None,
        }
    }

    pub(super) fn items(&self, v: Value) -> Option<&[Value]> {
        match self.node(v)? {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of a dictionary, or of an object's attributes.
    pub(super) fn pairs(&self, v: Value) -> Option<&[(Value, Value)]> {
        match self.node(v)? {
            Node::Dict(pairs) => Some(pairs),
            // An object's state is a dictionary, not another object.
            Node::Object(state) => match self.node(*state)? {
                Node::Dict(pairs) => Some(pairs),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a text key.
    pub(super) fn get(&self, dict: Value, key: &str) -> Option<Value> {
        self.pairs(dict)?.iter().find(|(k, _)| self.str(*k) == Some(key)).map(|(_, v)| *v)
    }
}

/// A pickle that was read: its value, and where it ended.
pub(super) struct Read<'p> {
    pub(super) arena: Arena<'p>,
    pub(super) value: Value,
    pub(super) end: usize,
}

struct Machine<'p> {
    arena: Arena<'p>,
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    budget: usize,
    op_at: usize,
    /// What persistent ids that are texts stand for.
    named: HashMap<String, Node>,
}

/// Reads the pickle at `start` of `bytes`; `file` is the length of the file that it is from.
pub(super) fn read(bytes: &[u8], start: usize, file: usize) -> Result<Read<'_>, String> {
    read_with(bytes, start, file, HashMap::new())
}

/// The same where persistent ids are names of these.
pub(super) fn read_with(
    bytes: &[u8],
    start: usize,
    file: usize,
    named: HashMap<String, Node>,
) -> Result<Read<'_>, String> {
    let mut m = Machine {
        arena: Arena { nodes: Vec::new(), text: bytes },
        at: start,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        budget: LEAST_BUDGET.max(file),
        op_at: start,
        named,
    };
    loop {
        m.op_at = m.at;
        match m.step() {
            Ok(None) => {}
            Ok(Some(value)) => return Ok(Read { arena: m.arena, value, end: m.at }),
            Err(what) => return Err(format!("{what} (offset {} of the pickle)", m.op_at - start)),
        }
    }
}

type Done = Result<Option<Value>, String>;

impl<'p> Machine<'p> {
    fn take(&mut self, n: usize) -> Result<&'p [u8], String> {
        let end = self.at.checked_add(n);
        let bytes = end.and_then(|end| self.arena.text.get(self.at..end));
        let bytes = bytes.ok_or_else(|| format!("{n} bytes are announced, and the pickle ends before"))?;
        self.at += n;
        Ok(bytes)
    }

    fn uint(&mut self, n: usize) -> Result<u64, String> {
        Ok(self.take(n)?.iter().rev().fold(0, |v, b| v << 8 | u64::from(*b)))
    }

    fn size(&mut self, n: usize) -> Result<usize, String> {
        usize::try_from(self.uint(n)?).map_err(|_| "a length beyond all files".to_string())
    }

    fn line(&mut self) -> Result<&'p str, String> {
        let rest = self.arena.text.get(self.at..).unwrap_or_default();
        let len = rest.iter().take(4096).position(|b| *b == b'\n').ok_or("a line without an end")?;
        self.at += len + 1;
        std::str::from_utf8(&rest[..len]).map_err(|_| "a line that is no text".to_string())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.budget =
            self.budget.checked_sub(bytes).ok_or("it builds more than an honest file of this size")?;
        Ok(())
    }

    fn push(&mut self, v: Value) -> Result<(), String> {
        // Room on the stack, and in the memo should it go there.
        self.spend(16)?;
        self.stack.push(v);
        Ok(())
    }

    fn node(&mut self, node: Node) -> Result<Value, String> {
        let inner = match &node {
            Node::Tuple(items) | Node::List(items) => 16 * items.len(),
            Node::Bytes(bytes) => bytes.len(),
            Node::Dict(pairs) => 32 * pairs.len(),
            _ => 64,
        };
        self.spend(inner + std::mem::size_of::<Node>())?;
        let id = u32::try_from(self.arena.nodes.len()).map_err(|_| "too many values")?;
        self.arena.nodes.push(node);
        Ok(Value::At(Id(id)))
    }

    fn make(&mut self, node: Node) -> Done {
        let v = self.node(node)?;
        self.push(v)?;
        Ok(None)
    }

    fn pop(&mut self) -> Result<Value, String> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or_else(|| "an empty stack".into()),
            false => Err("a value is taken that is not there".into()),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("a mark is taken that is not there")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn text(&mut self, len: usize) -> Done {
        let from = self.at;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| "a text that is no UTF-8")?;
        self.make(Node::Text(from, from + len))
    }

    fn step(&mut self) -> Done {
        match self.take(1)?[0] {
            0x80 => match self.take(1)?[0] {
                2..=4 => Ok(None),
                other => Err(format!("pickle protocol {other} is not supported; supported: 2 to 4")),
            },
            // FRAME: what follows needs no frame here.
            0x95 => self.take(8).map(|_| None),
            b'.' => {
                let value = self.pop()?;
                Ok(Some(value))
            }
            b'(' => {
                self.spend(8)?;
                self.marks.push(self.stack.len());
                Ok(None)
            }
            b'0' => self.pop().map(|_| None),
            b'1' => self.since_mark().map(|_| None),
            b'2' => {
                let v = self.pop()?;
                self.push(v)?;
                self.push(v)?;
                Ok(None)
            }
            b'N' => self.push(Value::None).map(|()| None),
            0x88 => self.push(Value::Bool(true)).map(|()| None),
            0x89 => self.push(Value::Bool(false)).map(|()| None),
            b'K' => self.uint(1).and_then(|v| self.push(Value::Int(v as i64))).map(|()| None),
            b'M' => self.uint(2).and_then(|v| self.push(Value::Int(v as i64))).map(|()| None),
            b'J' => {
                self.uint(4).and_then(|v| self.push(Value::Int(i64::from(v as u32 as i32)))).map(|()| None)
            }
            b'G' => {
                let bits = self.take(8)?.iter().fold(0, |v, b| v << 8 | u64::from(*b));
                self.push(Value::Float(f64::from_bits(bits))).map(|()| None)
            }
            0x8a => self.size(1).and_then(|n| self.long(n)),
            0x8b => self.size(4).and_then(|n| self.long(n)),
            b'X' => self.size(4).and_then(|n| self.text(n)),
            0x8c => self.size(1).and_then(|n| self.text(n)),
            // Strings of Python 2 and bytes.
            b'U' | b'C' => self.size(1).and_then(|n| self.bytes(n)),
            b'T' | b'B' => self.size(4).and_then(|n| self.bytes(n)),
            b')' => self.make(Node::Tuple(Vec::new())),
            b']' => self.make(Node::List(Vec::new())),
            b'}' => self.make(Node::Dict(Vec::new())),
            0x85..=0x87 => {
                let n = usize::from(self.arena.text[self.op_at] - 0x84);
                let mut items = (0..n).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                self.make(Node::Tuple(items))
            }
            b't' => self.since_mark().and_then(|items| self.make(Node::Tuple(items))),
            b'l' => self.since_mark().and_then(|items| self.make(Node::List(items))),
            b'd' => self.since_mark().and_then(pairs).and_then(|pairs| self.make(Node::Dict(pairs))),
            b'a' => {
                let v = self.pop()?;
                self.append(vec![v])
            }
            b'e' => self.since_mark().and_then(|items| self.append(items)),
            b's' => {
                let (v, k) = (self.pop()?, self.pop()?);
                self.set(vec![(k, v)])
            }
            b'u' => self.since_mark().and_then(pairs).and_then(|pairs| self.set(pairs)),
            b'q' => self.uint(1).and_then(|i| self.remember(i as u32)),
            b'r' => self.uint(4).and_then(|i| self.remember(i as u32)),
            0x94 => self.remember(self.memo.len() as u32),
            b'h' => self.uint(1).and_then(|i| self.recall(i as u32)),
            b'j' => self.uint(4).and_then(|i| self.recall(i as u32)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (self.arena.str(module), self.arena.str(name)) {
                    (Some(module), Some(name)) => self.global(module, name),
                    _ => Err("a global without a name".into()),
                }
            }
            b'R' | 0x81 => {
                let (args, f) = (self.pop()?, self.pop()?);
                let made = self.call(f, args)?;
                self.push(made).map(|()| None)
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.pop()?);
                self.build(object, state)?;
                self.push(object).map(|()| None)
            }
            b'Q' => {
                let id = self.pop()?;
                match self.arena.str(id) {
                    Some(name) => {
                        let missing = || format!("`{}` is not in the file", name.escape_debug());
                        let node = self.named.get(name).cloned().ok_or_else(missing)?;
                        self.make(node)
                    }
                    None => {
                        let storage = self.storage(id)?;
                        self.make(Node::Storage(Box::new(storage)))
                    }
                }
            }
            other => {
                let shown = char::from(other).escape_default();
                Err(format!("opcode {other:#04x} (`{shown}`) is not one that checkpoints need"))
            }
        }
    }

    fn long(&mut self, n: usize) -> Done {
        if n > LONGEST {
            return Err(format!("an integer of {n} bytes"));
        }
        let bytes = self.take(n)?;
        if n > 8 {
            // The magic number: kept as bytes.
            return self.make(Node::Bytes(bytes.to_vec()));
        }
        let raw = bytes.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b));
        let shift = 64 - 8 * n as u32;
        let v = if n == 0 { 0 } else { (raw << shift) as i64 >> shift };
        self.push(Value::Int(v)).map(|()| None)
    }

    fn bytes(&mut self, n: usize) -> Done {
        let from = self.at;
        let bytes = self.take(n)?;
        // A string of Python 2 that is text is text.
        match std::str::from_utf8(bytes) {
            Ok(_) => self.make(Node::Text(from, from + n)),
            Err(_) => {
                self.spend(n)?;
                self.make(Node::Bytes(bytes.to_vec()))
            }
        }
    }

    fn remember(&mut self, i: u32) -> Done {
        let v = *self.stack.last().ok_or("nothing to remember")?;
        self.spend(32)?;
        self.memo.insert(i, v);
        Ok(None)
    }

    fn recall(&mut self, i: u32) -> Done {
        let v = *self.memo.get(&i).ok_or_else(|| format!("entry {i} of the memo is not there"))?;
        self.push(v).map(|()| None)
    }

    fn global(&mut self, module: &str, name: &str) -> Done {
        match known(module, name) {
            Some(known) => self.push(Value::Known(known)).map(|()| None),
            None => Err(format!(
                "the global `{}.{}` is refused: a checkpoint holds tensors and plain values, nothing that runs",
                module.escape_debug(),
                name.escape_debug()
            )),
        }
    }

    fn top(&mut self) -> Result<usize, String> {
        match self.stack.last() {
            Some(Value::At(Id(i))) => Ok(*i as usize),
            _ => Err("a list or dictionary is wanted".into()),
        }
    }

    fn append(&mut self, items: Vec<Value>) -> Done {
        self.spend(16 * items.len())?;
        let i = self.top()?;
        match self.arena.nodes.get_mut(i) {
            Some(Node::List(list)) => list.extend(items),
            _ => return Err("something is appended to what is no list".into()),
        }
        Ok(None)
    }

    fn set(&mut self, pairs: Vec<(Value, Value)>) -> Done {
        self.spend(32 * pairs.len())?;
        let i = self.top()?;
        match self.arena.nodes.get_mut(i) {
            Some(Node::Dict(dict)) => dict.extend(pairs),
            _ => return Err("an entry is set in what is no dictionary".into()),
        }
        Ok(None)
    }

    /// What a known global makes of its arguments.
    fn call(&mut self, f: Value, args: Value) -> Result<Value, String> {
        let Value::Known(f) = f else { return Err("something is called that is no function".into()) };
        let args = self.arena.items(args).ok_or("arguments that are no tuple")?.to_vec();
        match (f, &args[..]) {
            (Known::OrderedDict, []) | (Known::DefaultDict, [] | [_]) => self.node(Node::Dict(Vec::new())),
            // Python 2 gives the pairs as a list of lists.
            (Known::OrderedDict, [list]) => {
                let items = self.arena.items(*list).ok_or("an OrderedDict of no list")?;
                let pair = |v: &Value| match self.arena.items(*v) {
                    Some(&[k, v]) => Ok((k, v)),
                    _ => Err("an OrderedDict of no pairs".to_string()),
                };
                let pairs = items.iter().map(pair).collect::<Result<_, _>>()?;
                self.node(Node::Dict(pairs))
            }
            (Known::Namespace, []) => self.node(Node::Object(Value::None)),
            (Known::Reconstructor, [Value::Known(Known::Namespace), ..]) => {
                self.node(Node::Object(Value::None))
            }
            (Known::Set | Known::Size, [items]) => {
                let items = self.arena.items(*items).ok_or("a set or a size of no list")?.to_vec();
                self.node(Node::Tuple(items))
            }
            (Known::Device, _) => Ok(Value::None),
            (Known::RebuildTensor, [storage, offset, shape, strides, rest @ ..]) => {
                let tensor = self.tensor(
                    [*storage, *offset, *shape, *strides],
                    rest.first() == Some(&Value::Bool(true)),
                )?;
                self.node(Node::Tensor(Box::new(tensor)))
            }
            (Known::RebuildParameter, [data, requires_grad, _]) => {
                let Some(Node::Tensor(tensor)) = self.arena.node(*data) else {
                    return Err("a parameter of no tensor".into());
                };
                let requires_grad = *requires_grad == Value::Bool(true);
                let tensor = Tensor { requires_grad, ..(**tensor).clone() };
                self.node(Node::Tensor(Box::new(tensor)))
            }
            (Known::Encode, [text, _]) => {
                let text = self.arena.str(*text).ok_or("an encoding of no text")?;
                // Python 3 writes bytes for protocol 2 as latin-1.
                let bytes = text.chars().map(|c| u8::try_from(u32::from(c))).collect::<Result<Vec<u8>, _>>();
                let bytes = bytes.map_err(|_| "an encoding that is not latin-1")?;
                self.node(Node::Bytes(bytes))
            }
            (Known::NumpyDtype, [code, ..]) => {
                let number = dtype(self.arena.str(*code).unwrap_or_default())?;
                self.node(Node::Dtype(number))
            }
            (Known::NumpyScalar, [kind, data]) => {
                let Some(Node::Dtype(number)) = self.arena.node(*kind) else {
                    return Err("a numpy scalar of no type".into());
                };
                let (number, bytes) = (*number, self.raw(*data).ok_or("a numpy scalar of no bytes")?);
                match bytes.len() == number.size() {
                    true => Ok(Value::Float(number.decode(bytes))),
                    false => Err("a numpy scalar of another length".into()),
                }
            }
            (Known::NumpyReconstruct, [Value::Known(Known::NumpyArray), ..]) => {
                self.node(Node::Array { dtype: None, shape: Vec::new(), fortran: false, data: Value::None })
            }
            (f, args) => Err(format!("{f:?} is called with {} arguments, which nothing needs", args.len())),
        }
    }

    fn raw(&self, v: Value) -> Option<&[u8]> {
        match self.arena.node(v)? {
            Node::Bytes(bytes) => Some(bytes),
            Node::Text(from, to) => self.arena.text.get(*from..*to),
            _ => None,
        }
    }

    /// Gives an object its state.
    fn build(&mut self, object: Value, state: Value) -> Result<(), String> {
        let Value::At(Id(i)) = object else { return Err("a state for what has none".into()) };
        let array = match (self.arena.node(object), self.arena.items(state)) {
            (Some(Node::Array { .. }), Some(&[_, shape, dtype, fortran, data])) => {
                let shape = self.sizes(shape)?;
                let Some(Node::Dtype(number)) = self.arena.node(dtype) else {
                    return Err("a numpy array of no type".into());
                };
                let len = shape.iter().try_fold(number.size(), |a, b| a.checked_mul(*b));
                if len.is_none() || self.raw(data).map(<[u8]>::len) != len {
                    return Err("a numpy array of another length".into());
                }
                Some(Node::Array { dtype: Some(*number), shape, fortran: fortran == Value::Bool(true), data })
            }
            _ => None,
        };
        let big = match (self.arena.node(object), self.arena.items(state)) {
            (Some(Node::Dtype(_)), Some(items)) => items.iter().any(|v| self.arena.str(*v) == Some(">")),
            _ => false,
        };
        if big {
            return Err("numpy numbers in big-endian order".into());
        }
        match self.arena.nodes.get_mut(i as usize) {
            Some(node @ Node::Array { .. }) => *node = array.ok_or("a numpy array without its parts")?,
            Some(Node::Object(own)) => *own = state,
            // An OrderedDict's further attributes (`_metadata`), a dtype's byte order.
            Some(Node::Dict(_) | Node::Dtype(_)) => {}
            _ => return Err("a state for what has none".into()),
        }
        Ok(())
    }

    fn sizes(&self, v: Value) -> Result<Vec<usize>, String> {
        let items = self.arena.items(v).ok_or("sizes that are no tuple")?;
        if items.len() > 32 {
            return Err(format!("a tensor of {} dimensions", items.len()));
        }
        let size = |v: &Value| match v {
            Value::Int(n) => usize::try_from(*n).map_err(|_| format!("a size of {n}")),
            _ => Err("a size that is no number".to_string()),
        };
        items.iter().map(size).collect()
    }

    fn tensor(&self, parts: [Value; 4], requires_grad: bool) -> Result<Tensor, String> {
        let [storage, offset, shape, strides] = parts;
        let Some(Node::Storage(storage)) = self.arena.node(storage) else {
            return Err("a tensor of no storage".into());
        };
        let Value::Int(offset) = offset else { return Err("a tensor without an offset".into()) };
        let offset = usize::try_from(offset).map_err(|_| format!("an offset of {offset}"))?;
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        Ok(Tensor { requires_grad, ..Storage::clone(storage).tensor(offset, shape, strides)? })
    }

    /// A storage by its persistent id: `('storage', type, key, location, count[, view])`.
    fn storage(&self, id: Value) -> Result<Storage, String> {
        let (kind, number, key, count, view) = match self.arena.items(id) {
            Some(&[kind, Value::Known(Known::Storage(number)), key, _, Value::Int(count)]) => {
                (kind, number, key, count, Value::None)
            }
            Some(&[kind, Value::Known(Known::Storage(number)), key, _, Value::Int(count), view]) => {
                (kind, number, key, count, view)
            }
            _ => return Err("a persistent id that is no storage".into()),
        };
        let key = self.arena.str(key).filter(|_| self.arena.str(kind) == Some("storage"));
        let key = key.ok_or("a storage without a key")?.to_owned();
        let (first, count) = match self.arena.items(view) {
            Some(&[_, Value::Int(first), Value::Int(count)]) => (first, count),
            _ => (0, count),
        };
        let whole = |n: i64| usize::try_from(n).map_err(|_| format!("a storage of {n} numbers"));
        Ok(Storage { number, key, count: whole(count)?, first: whole(first)? })
    }
}

fn pairs(items: Vec<Value>) -> Result<Vec<(Value, Value)>, String> {
    match items.len() % 2 {
        0 => Ok(items.chunks_exact(2).map(|p| (p[0], p[1])).collect()),
        _ => Err("a key without a value".into()),
    }
}

/// A type by numpy's code: `f8`, `<i4`.
fn dtype(code: &str) -> Result<Number, String> {
    let bad = || format!("numpy's type `{}` is not read", code.escape_debug());
    if code.starts_with('>') {
        return Err("numpy numbers in big-endian order".into());
    }
    let (kind, size) = code.trim_start_matches(['<', '=', '|']).split_at_checked(1).ok_or_else(bad)?;
    Ok(match (kind, size) {
        ("f", "8") => Number::F64,
        ("f", "4") => Number::F32,
        ("f", "2") => Number::F16,
        ("i", "1" | "2" | "4" | "8") => Number::Int(size.parse().map_err(|_| bad())?),
        ("u", "1" | "2" | "4" | "8") => Number::Uint(size.parse().map_err(|_| bad())?),
        ("b", "1") => Number::Bool,
        _ => return Err(bad()),
    })
}
