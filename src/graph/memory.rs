//! The memory plan: every intermediate placed by lifetime.
//!
//! Rules. Two tensors that are alive at once do not overlap. A tensor that a
//! dispatch writes never lies in the same buffer as one that it reads: wgpu
//! tracks usage by whole buffers. No buffer exceeds the adapter's limit. Images share one only
//! with images, each alone in it while it is alive.

/// What must be placed: bytes, and the first and last call that touches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes.
    pub size: u64,
    /// The first call.
    pub first: usize,
    /// The last call.
    pub last: usize,
    /// Whether kernels write and read it as an image.
    pub image: bool,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which buffer.
    pub buffer: usize,
    /// Bytes from its start.
    pub offset: u64,
}

/// Buffers and places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The size of each buffer in bytes.
    pub buffers: Vec<u64>,
    /// Which of them are images.
    pub images: Vec<bool>,
    /// The place of each block, in the order given.
    pub places: Vec<Place>,
}

/// How many orders are tried, at most; fewer where there are many blocks.
const TRIES: usize = 200;

/// Places blocks, each where it makes its buffer grow least, in the order that needs
/// the fewest bytes of some that are tried: first by size, by size and lifetime, by
/// time; then the best of these again and again, each time with the block before all
/// others that ends where the best placement's largest rise was.
/// `apart` lists pairs that may not share a buffer. Offsets are multiples of `align`.
pub fn place(blocks: &[Block], apart: &[(usize, usize)], align: u64, max_buffer: u64) -> Layout {
    let mut layout = place_buffers(blocks, apart, align, max_buffer);
    layout.images = vec![false; layout.buffers.len()];
    place_images(&mut layout, blocks);
    layout
}

/// Adds the images, the largest first, each to the first that is free while it is alive.
fn place_images(layout: &mut Layout, blocks: &[Block]) {
    let before = layout.buffers.len();
    let mut order: Vec<usize> = (0..blocks.len()).filter(|&i| blocks[i].image).collect();
    order.sort_by_key(|&i| (u64::MAX - blocks[i].size, i));
    let mut members: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let meets = |m: &usize| blocks[*m].first <= blocks[i].last && blocks[i].first <= blocks[*m].last;
        let free = members.iter().position(|inside| !inside.iter().any(meets));
        let at = free.unwrap_or_else(|| {
            layout.buffers.push(blocks[i].size);
            layout.images.push(true);
            members.push(Vec::new());
            members.len() - 1
        });
        members[at].push(i);
        layout.places[i] = Place { buffer: before + at, offset: 0 };
    }
}

fn place_buffers(blocks: &[Block], apart: &[(usize, usize)], align: u64, max_buffer: u64) -> Layout {
    let mut enemies = vec![Vec::new(); blocks.len()];
    for &(a, b) in apart {
        enemies[a].push(b);
        enemies[b].push(a);
    }
    let try_order = |order: &[usize]| place_in(order, blocks, &enemies, align, max_buffer);
    let total = |layout: &Layout| layout.buffers.iter().sum::<u64>();
    let life = |i: usize| (blocks[i].last - blocks[i].first + 1) as u64;
    let mut best: Option<(Vec<usize>, Layout)> = None;
    for kind in 0..3 {
        let mut order: Vec<usize> = (0..blocks.len()).filter(|&i| !blocks[i].image).collect();
        order.sort_by_key(|&i| match kind {
            0 => (u64::MAX - blocks[i].size, i),
            1 => (u64::MAX - blocks[i].size.saturating_mul(life(i)), i),
            _ => (blocks[i].first as u64, i),
        });
        let layout = try_order(&order);
        if best.as_ref().is_none_or(|(_, b)| total(&layout) < total(b)) {
            best = Some((order, layout));
        }
    }
    let Some((mut order, mut layout)) = best else { return Layout::default() };
    let live = (0..blocks.len()).map(|i| alive(blocks, blocks[i].first)).max().unwrap_or(0);
    let tries = (20_000_000 / (blocks.len() * blocks.len()).max(1)).min(TRIES);
    let (mut now, mut placed) = (order.clone(), layout.clone());
    for turn in 0..tries {
        if total(&layout) <= live {
            break;
        }
        // Of the blocks that end where a buffer does, another one each turn.
        let tops: Vec<usize> = (0..blocks.len())
            .filter(|&i| {
                let p = placed.places[i];
                !blocks[i].image && p.offset > 0 && p.offset + blocks[i].size == placed.buffers[p.buffer]
            })
            .collect();
        let Some(&top) = tops.get(turn % tops.len().max(1)) else { break };
        now.retain(|&i| i != top);
        now.insert(0, top);
        placed = try_order(&now);
        if total(&placed) < total(&layout) {
            (order, layout) = (now.clone(), placed.clone());
        } else if turn % 16 == 15 {
            (now, placed) = (order.clone(), layout.clone());
        }
    }
    layout
}

/// Bytes in buffers that are alive at call `at`.
fn alive(blocks: &[Block], at: usize) -> u64 {
    blocks.iter().filter(|b| !b.image && b.first <= at && at <= b.last).map(|b| b.size).sum()
}

fn place_in(
    order: &[usize],
    blocks: &[Block],
    enemies: &[Vec<usize>],
    align: u64,
    max_buffer: u64,
) -> Layout {
    let mut layout = Layout { places: vec![Place::default(); blocks.len()], ..Layout::default() };
    let mut members: Vec<Vec<usize>> = Vec::new();
    for &i in order {
        let block = blocks[i];
        let mut best: Option<(u64, Place)> = None;
        for (b, inside) in members.iter().enumerate() {
            if inside.iter().any(|m| enemies[i].contains(m)) {
                continue;
            }
            let offset = lowest_gap(block, inside, blocks, &layout.places, align);
            let end = offset + block.size;
            let growth = end.saturating_sub(layout.buffers[b]);
            if (end <= max_buffer || growth == 0) && best.is_none_or(|(g, _)| growth < g) {
                best = Some((growth, Place { buffer: b, offset }));
            }
        }
        let place = best.map_or_else(
            || {
                layout.buffers.push(0);
                members.push(Vec::new());
                Place { buffer: layout.buffers.len() - 1, offset: 0 }
            },
            |b| b.1,
        );
        layout.places[i] = place;
        layout.buffers[place.buffer] = layout.buffers[place.buffer].max(place.offset + block.size);
        members[place.buffer].push(i);
    }
    layout
}

/// The lowest offset at which `block` meets none of the blocks alive with it.
fn lowest_gap(block: Block, inside: &[usize], blocks: &[Block], places: &[Place], align: u64) -> u64 {
    let mut taken: Vec<(u64, u64)> = inside
        .iter()
        .filter(|&&m| blocks[m].first <= block.last && block.first <= blocks[m].last)
        .map(|&m| (places[m].offset, places[m].offset + blocks[m].size))
        .collect();
    taken.sort_unstable();
    let mut at = 0u64;
    for (start, end) in taken {
        if at + block.size <= start {
            break;
        }
        at = at.max(end.next_multiple_of(align));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_overlap_and_the_written_apart_from_the_read(
            raw in prop::collection::vec((1u64..5000, 0usize..40, 0usize..12, 0u8..4), 1..60),
            pairs in prop::collection::vec((0usize..60, 0usize..60), 0..60),
        ) {
            let blocks: Vec<Block> =
                raw.iter()
                    .map(|&(size, first, len, kind)| Block { size, first, last: first + len, image: kind == 0 })
                    .collect();
            // What is read and written by one call is alive in it.
            let meets = |a: usize, b: usize| {
                let (a, b) = (blocks[a], blocks[b]);
                !(a.image && b.image) || a.first <= b.last && b.first <= a.last
            };
            let apart: Vec<_> = pairs
                .into_iter()
                .filter(|&(a, b)| a != b && a < blocks.len() && b < blocks.len() && meets(a, b))
                .collect();
            let layout = place(&blocks, &apart, 256, 12_000);
            for &(a, b) in &apart {
                prop_assert_ne!(layout.places[a].buffer, layout.places[b].buffer);
            }
            for (i, (a, p)) in blocks.iter().zip(&layout.places).enumerate() {
                prop_assert_eq!(p.offset % 256, 0);
                prop_assert!(p.offset + a.size <= layout.buffers[p.buffer]);
                prop_assert!(layout.buffers[p.buffer] <= 12_000);
                prop_assert_eq!(layout.images[p.buffer], a.image);
                prop_assert!(!a.image || p.offset == 0);
                for (b, q) in blocks.iter().zip(&layout.places).skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last && p.buffer == q.buffer;
                    let apart = p.offset + a.size <= q.offset || q.offset + b.size <= p.offset;
                    prop_assert!(!together || apart);
                }
            }
        }
    }

    #[test]
    fn a_chain_needs_two_buffers_of_one_tensor() {
        let blocks: Vec<Block> =
            (0..10).map(|i| Block { size: 1024, first: i, last: i + 1, image: false }).collect();
        let apart: Vec<_> = (0..9).map(|i| (i, i + 1)).collect();
        assert_eq!(place(&blocks, &apart, 256, u64::MAX).buffers, vec![1024, 1024]);
    }
}
