//! The report in a browser: it is laid out, its charts are drawn, and it fetches nothing.
//!
//! It wants Chromium (or Chrome, or what `UNDIFFUSE_BROWSER` names) and runs by `make browser`.

use super::{parsed, small_report};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a page may take.
const LONGEST: Duration = Duration::from_secs(120);

/// What the page forbids itself.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

/// Runs in the page before all else: what goes wrong is kept.
const FIRST: &str = "<script>window.wrong = [];
for (const kind of ['error', 'unhandledrejection', 'securitypolicyviolation'])
  window.addEventListener(kind, e => wrong.push(kind + ' ' + (e.message || e.blockedURI || e.target)), true);
</script>";

/// Runs in the page when it is laid out: what a reader would see, as numbers.
const LAST: &str = "<script>window.addEventListener('load', () => {
  const all = (what, f) => Array.from(document.querySelectorAll(what), f);
  const box = e => { const b = e.getBoundingClientRect(); return [b.width, b.height]; };
  const seen = {
    wrong, fetched: performance.getEntriesByType('resource').map(r => r.name).filter(n => !n.startsWith('data:')),
    charts: all('svg', e => ({ size: box(e), circles: e.querySelectorAll('circle').length,
      inside: Array.from(e.querySelectorAll('circle'), c => {
        const [a, b] = [c.getBoundingClientRect(), e.getBoundingClientRect()];
        return a.width > 1 && a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
      }).every(x => x), words: Array.from(e.querySelectorAll('text'), t => t.textContent) })),
    rows: all('table', t => Array.from(t.rows, r => r.cells.length)),
    pictures: all('img', i => [i.naturalWidth, box(i)[0]]),
    commands: all('li code', c => c.textContent),
    data: JSON.parse(document.getElementById('data').textContent).points.length,
    wide: document.documentElement.scrollWidth <= window.innerWidth,
  };
  const out = document.createElement('pre');
  out.id = 'seen';
  out.textContent = JSON.stringify(seen);
  document.body.appendChild(out);
});</script>";

/// The program of a browser that runs without a screen.
fn browser() -> Command {
    let named = std::env::var("UNDIFFUSE_BROWSER").ok();
    let known = ["chromium", "chromium-browser", "google-chrome", "chrome"].map(String::from);
    let there = |name: &String| {
        let version =
            Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok_and(|s| s.success())
    };
    let found = named.into_iter().chain(known).find(there);
    Command::new(found.expect("Chromium or Chrome: `make browser` installs it on Debian"))
}

/// Opens a file, and returns what was printed.
fn open(page: &Path, more: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let printed = profile.path().join("printed");
    let mut command = browser();
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--window-size=1200,2400",
        // Whatever asks for a name gets none.
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
    command.args(more).arg(format!("file://{}", page.display()));
    command.stdin(Stdio::null()).stdout(std::fs::File::create(&printed).unwrap()).stderr(Stdio::null());
    let (mut child, start) = (command.spawn().expect("the browser starts"), Instant::now());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONGEST {
            let _ = child.kill();
            panic!("the browser did not end within {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "the browser ended with {status}");
    std::fs::read_to_string(printed).unwrap()
}

/// What a page is seen to hold, by a script that is put into a copy of it.
fn seen(html: &str, folder: &Path) -> Value {
    let copy = folder.join("copy.html");
    let html = html.replacen(POLICY, &format!("{POLICY}; script-src 'unsafe-inline'"), 1);
    let html = html.replacen("<title>", &format!("{FIRST}<title>"), 1);
    std::fs::write(&copy, html.replacen("</body>", &format!("{LAST}</body>"), 1)).unwrap();
    let dom = open(&copy, &["--dump-dom"]);
    let at =
        dom.find("<pre id=\"seen\">").unwrap_or_else(|| panic!("the page's script did not end: {dom:.2000}"));
    let text = &dom[at + 15..];
    let text = text[..text.find("</pre>").unwrap()].replace("&lt;", "<").replace("&gt;", ">");
    serde_json::from_str(&text.replace("&amp;", "&")).unwrap()
}

#[test]
#[ignore = "wants a browser: make browser"]
fn a_report_opens_in_a_browser() {
    let dir = tempfile::tempdir().unwrap();
    let args = small_report(dir.path());
    let report = parsed(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let points = report["points"].as_array().unwrap();
    let html = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(html.contains(POLICY), "the page does not forbid itself to fetch");
    let page = seen(&html, dir.path());
    assert_eq!((&page["wrong"], &page["fetched"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    let charts = page["charts"].as_array().unwrap();
    assert_eq!(charts.len(), 3);
    for chart in charts {
        let size = |i: usize| chart["size"][i].as_f64().unwrap();
        assert!(size(0) > 200.0 && size(1) > 150.0, "{chart}");
        assert_eq!((&chart["circles"], &chart["inside"]), (&points.len().into(), &true.into()), "{chart}");
        let words = chart["words"].to_string();
        assert!(words.contains("more is better") || words.contains("less is better"), "{words}");
    }
    // A head and a row for each point, all of one length.
    let rows = page["rows"][0].as_array().unwrap();
    assert_eq!(rows.len(), points.len() + 1);
    assert!(rows.iter().all(|n| *n == rows[0] && n.as_u64() > Some(10)), "{rows:?}");
    let pictures = page["pictures"].as_array().unwrap();
    assert_eq!(pictures.len(), points.len());
    let drawn = |p: &Value| p[0].as_u64() > Some(8) && p[1].as_f64() > Some(100.0);
    assert!(pictures.iter().all(drawn), "{pictures:?}");
    assert_eq!(page["commands"].as_array().unwrap().len(), points.len());
    assert_eq!((&page["data"], &page["wide"]), (&points.len().into(), &true.into()));
    // What would be found: a picture from elsewhere, and a script that fails.
    let bad = html.replacen("<h1>", "<img src=\"http://localhost:9/x.png\" alt=\"\"><h1>", 1);
    let found = seen(&bad.replacen("</body>", "<script>nothing()</script></body>", 1), dir.path())["wrong"]
        .to_string();
    assert!(found.contains("localhost:9") && found.contains("nothing"), "{found}");
    // What a reader sees is a picture of more than one colour.
    let shot = dir.path().join("shot.png");
    open(&dir.path().join("report.html"), &[&format!("--screenshot={}", shot.display())]);
    let shot = image::open(&shot).unwrap().to_rgb8();
    let colours: std::collections::HashSet<_> = shot.pixels().collect();
    assert!(shot.width() == 1200 && colours.len() > 20, "{} colours", colours.len());
}
