//! A flame graph of the daemon, from what `perf script -F comm,ip,sym` prints.
//!
//! Each box is a function, as wide as its part of the samples, above the one that called it. Drawn here,
//! so that the picture needs no tool beside perf and can be read on light and dark ground.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead;

use anyhow::{Context, Result, ensure};

const WIDTH: f64 = 1_200.0;
const ROW: f64 = 17.0;

/// What is narrower than this is left out.
const NARROWEST: f64 = 1.5;

/// About how wide a character is.
const CHARACTER: f64 = 6.6;

/// Threads of the daemon, by the beginning of their names. All else that perf saw is the load.
const THREADS: &[&str] = &["shard-", "tokio", "arcus-bgpd"];

/// What is between a thread's start or a poll and the function that it is about.
const PLUMBING: &[&str] = &[
    "[unknown]",
    "__rust_begin_short_backtrace",
    "_start",
    "clone",
    "core::ops::function",
    "core::panic",
    "core::pin",
    "__rust_try",
    "start_thread",
    "std::panic",
    "std::sys",
    "std::thread",
    "std::rt",
    "tokio::runtime::blocking",
    "tokio::runtime::coop",
    "tokio::runtime::context",
    "tokio::runtime::task",
    "tokio::loom",
];

/// Parts of the work, by thread and by a function that is in the stack; the first that fits.
const PARTS: &[(&str, &str, &[&str])] = &[
    ("shard", "taking routes in: intern, look up, decide, owe", &["Shard::handle"]),
    ("shard", "saying them: pack, encode, hand out", &["Shard::flush"]),
    ("shard", "queues, and freeing what was taken in", &[""]),
    ("workers", "writing to sockets", &["writev", "try_write", "sendmsg"]),
    ("workers", "decoding, and dividing among shards", &["::decode", "ToShards", "ShardMap"]),
    ("workers", "reading from sockets", &["recv", "try_read", "poll_read"]),
    ("workers", "queues, waking, and freeing", &[""]),
    ("main", "", &[""]),
];

/// What the daemon does when it is ended, behind what is measured: sessions go down.
const END: &str = "::peer_down";

/// The grey is readable on white and on black: a page's ground is not known to a picture in it.
const STYLE: &str = "text{font:11px monospace}rect{stroke:#757c85;stroke-width:.5}.title{fill:#757c85;\
font:600 14px sans-serif}.note{fill:#757c85;font:12px sans-serif}.box{fill:#1f2328}\
.ours{fill:#f4a261}.kernel{fill:#a9b8d4}.memory{fill:#e9c46a}.rest{fill:#a7c9a0}";

/// A function, and what it called.
#[derive(Debug, Default)]
struct Frame {
    samples: u64,
    called: BTreeMap<String, Frame>,
}

impl Frame {
    fn add<'a>(&mut self, stack: impl Iterator<Item = &'a str>) {
        self.samples += 1;
        let mut at = self;
        for name in stack {
            at = at.called.entry(name.to_owned()).or_default();
            at.samples += 1;
        }
    }

    /// How many rows it takes when it is drawn so wide.
    fn rows(&self, width: f64) -> usize {
        let inner = self.called.values().map(|frame| (frame, self.part(frame, width)));
        let drawn = inner.filter(|(_, part)| *part >= NARROWEST);
        drawn.map(|(frame, part)| 1 + frame.rows(part)).max().unwrap_or_default()
    }

    /// How wide a function is that this one called.
    #[expect(clippy::cast_precision_loss, reason = "parts of a picture")]
    fn part(&self, inner: &Self, width: f64) -> f64 {
        width * inner.samples as f64 / self.samples.max(1) as f64
    }
}

/// The picture of all samples of the daemon's threads, and a table of what part of them is what.
///
/// # Errors
/// When there are none, or what is read is not what perf prints.
pub(crate) fn draw(perf: impl BufRead) -> Result<(String, String)> {
    let (root, parts) = read(perf)?;
    ensure!(root.samples > 0, "no sample of a thread of arcus-bgpd");
    #[expect(clippy::cast_precision_loss, reason = "a few dozen rows")]
    let height = 70.0 + ROW * root.rows(WIDTH) as f64;
    let mut boxes = String::new();
    below(&root, (0.0, height - 26.0), WIDTH, root.samples, &mut boxes);
    let picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
         width=\"{WIDTH:.0}\" height=\"{height:.0}\" role=\"img\">\n\
         <title>Where the CPU time of arcus-bgpd goes</title>\n<style>{STYLE}</style>\n\
         <text class=\"title\" x=\"4\" y=\"18\">arcus-bgpd: {} samples; callers below, threads at the \
         bottom</text>\n\
         <text class=\"note\" x=\"4\" y=\"36\">orange: ours; blue: the kernel; yellow: memory; green: \
         libraries. Point at a box for its name and part.</text>\n{boxes}</svg>\n",
        root.samples
    );
    Ok((picture, table(&parts, root.samples)))
}

fn table(parts: &[u64], all: u64) -> String {
    let mut text = String::from("| thread | part of all samples | |\n|---|---|---|\n");
    for ((thread, what, _), samples) in PARTS.iter().zip(parts) {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let percent = 100.0 * *samples as f64 / all as f64;
        let _infallible = writeln!(text, "| {thread} | {percent:.1} % | {what} |");
    }
    text
}

/// Samples are paragraphs: the thread's name, then a line for each function, the innermost first.
fn read(perf: impl BufRead) -> Result<(Frame, Vec<u64>)> {
    let mut root = Frame::default();
    let mut parts = vec![0; PARTS.len()];
    let (mut thread, mut stack): (Option<String>, Vec<String>) = (None, Vec::new());
    for line in perf.lines().chain([Ok(String::new())]) {
        let line = line.context("the output of perf")?;
        if line.trim().is_empty() {
            let is_end = stack.iter().any(|name| name.contains(END));
            if let Some(thread) = thread.take().filter(|_| !is_end) {
                let thread = thread_name(&thread);
                if let Some(part) = part_of(thread, &stack).and_then(|part| parts.get_mut(part)) {
                    *part += 1;
                }
                root.add(std::iter::once(thread).chain(stack.iter().rev().map(String::as_str)));
            }
            stack.clear();
        } else if line.starts_with(char::is_whitespace) {
            let symbol = line.trim().split_once(' ').map_or("[unknown]", |(_, symbol)| symbol);
            let bare = symbol.trim_start_matches('<');
            let is_plumbing = PLUMBING.iter().any(|part| bare.starts_with(part));
            if !is_plumbing {
                stack.push(tidy(symbol));
            }
        } else {
            let name = line.trim().to_owned();
            let is_ours = THREADS.iter().any(|ours| name.starts_with(ours));
            thread = is_ours.then_some(name);
        }
    }
    Ok((root, parts))
}

fn part_of(thread: &str, stack: &[String]) -> Option<usize> {
    let is_in = |mark: &&str| mark.is_empty() || stack.iter().any(|name| name.contains(mark));
    PARTS.iter().position(|(of, _, marks)| thread.starts_with(of) && marks.iter().any(is_in))
}

/// Workers are one, however many there are.
fn thread_name(thread: &str) -> &'static str {
    if thread.starts_with("shard") {
        "shard: the tables"
    } else if thread.starts_with("tokio") {
        "workers: sessions"
    } else {
        "main"
    }
}

/// A symbol without the hash at its end and without the offset.
fn tidy(symbol: &str) -> String {
    let symbol = symbol.split("+0x").next().unwrap_or(symbol);
    match symbol.rsplit_once("::h") {
        Some((name, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => {
            name.to_owned()
        }
        _ => symbol.to_owned(),
    }
}

/// Draws what `frame` called, the greatest part first, in rows that go up.
fn below(frame: &Frame, (x, y): (f64, f64), width: f64, all: u64, out: &mut String) {
    let mut called: Vec<_> = frame.called.iter().collect();
    called.sort_by_key(|(_, frame)| std::cmp::Reverse(frame.samples));
    let mut left = x;
    for (name, inner) in called {
        #[expect(clippy::cast_precision_loss, reason = "parts of a picture")]
        let of_all = 100.0 * inner.samples as f64 / all as f64;
        let part = frame.part(inner, width);
        if part >= NARROWEST {
            let (class, name) = (class(name), escaped(name));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few hundred characters"
            )]
            let room = ((part - 6.0) / CHARACTER).max(0.0) as usize;
            let _infallible = write!(
                out,
                "<g><title>{name}: {of_all:.1} %</title><rect class=\"{class}\" x=\"{left:.1}\" \
                 y=\"{y:.0}\" width=\"{part:.1}\" height=\"{ROW:.0}\"/>"
            );
            if room >= 4 {
                let _infallible = write!(
                    out,
                    "<text class=\"box\" x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                    left + 3.0,
                    y + 12.0,
                    shortened(&name, room)
                );
            }
            out.push_str("</g>\n");
            below(inner, (left, y - ROW), part, all, out);
        }
        left += part;
    }
}

fn class(symbol: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| symbol.contains(part));
    if has(&["bgp_", "arcus_", "bgpd", "shard", "workers"]) {
        "ours"
    } else if has(&["alloc", "free", "mmap", "page_fault", "fault", "clear_page", "memcg"]) {
        "memory"
    } else if symbol.contains("::") || symbol.starts_with("__mem") {
        "rest"
    } else {
        "kernel"
    }
}

fn escaped(name: &str) -> String {
    name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The last part of a path says most; an entity is not cut in two.
fn shortened(name: &str, room: usize) -> String {
    let short = name.rsplit("::").find(|part| !part.starts_with('{')).unwrap_or(name);
    let short = if name.chars().count() <= room { name } else { short };
    if short.chars().count() <= room {
        return short.to_owned();
    }
    let cut: String = short.chars().take(room.saturating_sub(1)).collect();
    let cut = match cut.rsplit_once('&') {
        Some((before, entity)) if !entity.contains(';') => before.to_owned(),
        _ => cut,
    };
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERF: &str = "\
shard-0
\t  55d0 bgp_rib::table::Table<F>::announce::h0123456789abcdef+0x10
\t  55d1 bgp_rib::shard::Shard::handle
\t  55d2 std::thread::spawn

shard-0
\t  55d1 bgp_rib::shard::Shard::handle

shard-0
\t  55d3 bgp_rib::peering::<impl bgp_rib::shard::Shard>::remove
\t  55d4 bgp_rib::shard::Shard::peer_down

crowd
\t  55d9 something_else

";

    #[test]
    fn samples_of_the_daemon_are_stacked_under_their_threads() {
        let (root, parts) = read(PERF.as_bytes()).expect("what perf prints");
        assert_eq!((root.samples, parts[0], parts.iter().sum()), (2, 2, 2));
        let shard = &root.called["shard: the tables"];
        let handle = &shard.called["bgp_rib::shard::Shard::handle"];
        assert_eq!((shard.samples, handle.samples), (2, 2));
        assert_eq!(handle.called["bgp_rib::table::Table<F>::announce"].samples, 1);
    }

    #[test]
    fn a_picture_has_every_wide_box_and_no_raw_angle_bracket() {
        let (picture, table) = draw(PERF.as_bytes()).expect("samples");
        assert!(table.contains("| shard | 100.0 % | taking routes in"), "{table}");
        assert!(picture.contains("Table&lt;F&gt;::announce: 50.0 %"), "{picture}");
        assert!(draw("crowd\n\t 1 x\n\n".as_bytes()).is_err());
    }
}
