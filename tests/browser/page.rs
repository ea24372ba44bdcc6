//! What a person does on a page, and what is checked on every page that a journey passes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use thirtyfour::common::command::FormatRequestData;
use thirtyfour::prelude::*;
use thirtyfour::{RequestData, SessionId};

/// How long a page may take to show what is waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A page may not be this narrow and need scrolling sideways (WCAG 1.4.10).
const NARROW: u32 = 320;

/// More stops than any page has.
const MOST_TABS: usize = 120;

/// Something to press or fill in, said in terms that survive a redesign.
#[derive(Debug, Clone, Copy)]
pub enum Control<'a> {
    Css(&'a str),
    /// The link to this path.
    Link(&'a str),
    /// The button of the form that posts to this path.
    Submit(&'a str),
}

/// With what a person moves about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    Mouse,
    /// Tab and Enter alone.
    Keyboard,
}

#[derive(Debug, Clone, Copy)]
pub enum ColorScheme {
    Light,
    Dark,
}

/// Elements that a control names, as a JavaScript function of its two words.
const MATCHES: &str = r"
    const matches = (element, kind, value) => {
        if (kind === 'css') return element.matches(value);
        if (kind === 'link') return element.matches('a[href]') && element.pathname === value;
        const form = element.matches('button, input[type=submit]') && element.type === 'submit' ? element.form : null;
        if (!form || (form.getAttribute('method') || 'get').toLowerCase() !== 'post') return false;
        return new URL(form.getAttribute('action') || location.href, document.baseURI).pathname === value;
    };
";

impl Control<'_> {
    fn words(self) -> Vec<Value> {
        match self {
            Control::Css(selector) => vec![json!("css"), json!(selector)],
            Control::Link(path) => vec![json!("link"), json!(path)],
            Control::Submit(path) => vec![json!("submit"), json!(path)],
        }
    }
}

/// Waits until the control is there and visible.
///
/// # Errors
/// It does not come.
pub async fn find(driver: &WebDriver, control: Control<'_>) -> Result<WebElement> {
    find_within(driver, control, PATIENCE).await
}

/// Like [`find`], with a time limit of its own.
///
/// # Errors
/// It does not come in time.
pub async fn find_within(driver: &WebDriver, control: Control<'_>, limit: Duration) -> Result<WebElement> {
    let script = format!(
        "{MATCHES} const [kind, value] = arguments;
         return [...document.querySelectorAll('*')].find(e => e.checkVisibility() && matches(e, kind, value)) ?? null;"
    );
    wait(&format!("{control:?}"), limit, async || {
        let found = driver.execute(script.as_str(), control.words()).await?;
        if found.json().is_null() { Ok(None) } else { Ok(Some(found.element()?)) }
    })
    .await
}

/// Clicks it, or goes there by Tab and presses Enter.
///
/// # Errors
/// It is not there, or the keyboard does not get to it.
pub async fn press(driver: &WebDriver, hand: Hand, control: Control<'_>) -> Result<()> {
    let element = find(driver, control).await?;
    match hand {
        Hand::Mouse => element.click().await.with_context(|| format!("clicking {control:?}"))?,
        Hand::Keyboard => {
            tab_to(driver, control).await?;
            // Enter is pressed, then released; a page left in between can make the driver complain about the release.
            // Whether the key did its work shows on the next page, which every caller waits for.
            if let Err(error) = driver.action_chain().send_keys(Key::Enter).perform().await {
                eprintln!("Enter on {control:?}: {error}");
            }
        }
    }
    Ok(())
}

/// Fills in a field.
///
/// # Errors
/// It is not there, or the keyboard does not get to it.
pub async fn fill_in(driver: &WebDriver, hand: Hand, field: Control<'_>, text: &str) -> Result<()> {
    let element = find(driver, field).await?;
    match hand {
        Hand::Mouse => element.send_keys(text).await.with_context(|| format!("typing into {field:?}"))?,
        Hand::Keyboard => {
            tab_to(driver, field).await?;
            driver.action_chain().send_keys(text).perform().await?;
        }
    }
    Ok(())
}

/// Fills in the sign-in page and sends it.
///
/// # Errors
/// The page has no such form.
pub async fn sign_in(driver: &WebDriver, hand: Hand, username: &str, password: &str) -> Result<()> {
    fill_in(driver, hand, Control::Css("input[name=username]"), username).await?;
    fill_in(driver, hand, Control::Css("input[name=password]"), password).await?;
    press(driver, hand, Control::Submit("/login")).await
}

/// Presses Tab until the control has the focus; every stop on the way must show that it has it (WCAG 2.4.7).
async fn tab_to(driver: &WebDriver, control: Control<'_>) -> Result<()> {
    let script = format!(
        "{MATCHES} const [kind, value] = arguments, at = document.activeElement;
         if (!at || at === document.body) return {{ there: false, name: '', visible: true }};
         const style = getComputedStyle(at);
         const outlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
         return {{
             there: matches(at, kind, value),
             name: at.outerHTML.slice(0, 120),
             visible: outlined || style.boxShadow !== 'none',
         }};"
    );
    let mut stops = Vec::new();
    for _ in 0..MOST_TABS {
        let stop: Stop = driver.execute(script.as_str(), control.words()).await?.convert()?;
        ensure!(stop.visible, "nothing shows that this has the focus: {}", stop.name);
        if stop.there {
            return Ok(());
        }
        stops.push(stop.name);
        driver.action_chain().send_keys(Key::Tab).perform().await?;
    }
    stops.dedup();
    stops.truncate(12);
    bail!("Tab never gets to {control:?}; it stops at:\n  {}", stops.join("\n  "))
}

#[derive(Deserialize)]
struct Stop {
    there: bool,
    name: String,
    visible: bool,
}

/// The path of the page shown.
///
/// # Errors
/// The browser does not answer.
pub async fn path(driver: &WebDriver) -> Result<String> {
    Ok(driver.current_url().await?.path().to_owned())
}

/// Waits for `ready` to give something. A page that is just being replaced may fail it; only the last failure counts.
///
/// # Errors
/// It gave nothing in time.
pub async fn wait<T>(what: &str, limit: Duration, ready: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        let answer = ready().await;
        if let Ok(Some(found)) = answer {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            let waited = format!("waited {} s for {what}", limit.as_secs());
            return match answer {
                Err(error) => Err(error.context(waited)),
                Ok(_) => bail!(waited),
            };
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Looks at the page as everyone might see it: light, dark, and on the narrowest screen.
///
/// # Errors
/// An accessibility rule is broken, or the narrow page scrolls sideways.
pub async fn inspect(driver: &WebDriver, name: &str) -> Result<()> {
    let view = |kind: &str| format!("the page {name:?}, {kind}");
    for (scheme, kind) in [(ColorScheme::Dark, "dark"), (ColorScheme::Light, "light")] {
        set_color_scheme(driver, scheme).await?;
        screenshot(driver, &format!("{name}-{kind}")).await?;
        axe(driver).await.with_context(|| view(kind))?;
    }
    set_width(driver, Some(NARROW)).await?;
    screenshot(driver, &format!("{name}-{NARROW}")).await?;
    axe(driver).await.with_context(|| view("narrow"))?;
    no_sideways_scrolling(driver).await.with_context(|| view("narrow"))?;
    set_width(driver, None).await
}

/// Runs axe-core with the rules of WCAG 2.2 A and AA.
///
/// # Errors
/// The list of violations, each with its elements.
pub async fn axe(driver: &WebDriver) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stock/node_modules/axe-core/axe.min.js");
    let source = std::fs::read_to_string(&file)
        .with_context(|| format!("{} (`npm ci` in tests/stock puts it there)", file.display()))?;
    // Scripts of the driver run whatever the page's Content-Security-Policy says.
    driver.execute(source, Vec::new()).await.context("loading axe-core into the page")?;
    let script = r"
        const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
        const rules = { 'target-size': { enabled: true } };
        return axe.run(document, { runOnly: { type: 'tag', values: tags }, rules }).then(found => ({
            passes: found.passes.length,
            violations: found.violations.map(rule => ({
                id: rule.id,
                help: rule.help,
                nodes: rule.nodes.map(node => ({ html: node.html, why: node.failureSummary })),
            })),
        }));";
    let report: Report = driver.execute(script, Vec::new()).await.context("running axe-core")?.convert()?;
    ensure!(report.passes > 0, "axe-core found nothing to check");
    let list: String = report.violations.iter().map(Violation::lines).collect();
    ensure!(list.is_empty(), "axe-core finds {} rules broken:\n{list}", report.violations.len());
    Ok(())
}

#[derive(Deserialize)]
struct Report {
    passes: usize,
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    id: String,
    help: String,
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    html: String,
    why: String,
}

impl Violation {
    fn lines(&self) -> String {
        let nodes = self.nodes.iter().map(|node| {
            let html: String = node.html.chars().take(200).collect();
            format!("      {html}\n        {}\n", node.why.replace('\n', "\n        "))
        });
        format!("  {}: {}\n{}", self.id, self.help, nodes.collect::<String>())
    }
}

async fn no_sideways_scrolling(driver: &WebDriver) -> Result<()> {
    let script = r"
        const wide = [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5);
        return {
            needs: document.documentElement.scrollWidth,
            has: innerWidth,
            wide: wide.slice(-5).map(e => e.outerHTML.slice(0, 120)),
        };";
    let width: Width = driver.execute(script, Vec::new()).await?.convert()?;
    let wide = width.wide.join("\n  ");
    ensure!(width.needs <= width.has, "scrolls sideways: {} px on {} px\n  {wide}", width.needs, width.has);
    Ok(())
}

#[derive(Deserialize)]
struct Width {
    needs: u32,
    has: u32,
    wide: Vec<String>,
}

/// Keeps a picture as `$RESCIND_SCREENS/{name}.png`; without the variable, does nothing.
///
/// # Errors
/// The picture cannot be taken or written.
pub async fn screenshot(driver: &WebDriver, name: &str) -> Result<()> {
    let Some(folder) = std::env::var_os("RESCIND_SCREENS").map(PathBuf::from) else {
        return Ok(());
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join(format!("{name}.png"));
    // The whole page, not only what a window of this height shows.
    let size = &ask_devtools(driver, "Page.getLayoutMetrics", json!({})).await?["cssContentSize"];
    let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
    let whole = json!({ "captureBeyondViewport": true, "clip": clip });
    let taken = ask_devtools(driver, "Page.captureScreenshot", whole).await?;
    let picture = BASE64_STANDARD.decode(taken["data"].as_str().context("a picture")?)?;
    std::fs::write(&file, picture).with_context(|| format!("writing {}", file.display()))
}

/// What the page's `prefers-color-scheme` says. Motion is reduced with it: colours in mid-fade have no contrast to measure.
///
/// # Errors
/// The browser refuses.
pub async fn set_color_scheme(driver: &WebDriver, scheme: ColorScheme) -> Result<()> {
    let value = match scheme {
        ColorScheme::Light => "light",
        ColorScheme::Dark => "dark",
    };
    let features = json!([
        { "name": "prefers-color-scheme", "value": value },
        { "name": "prefers-reduced-motion", "value": "reduce" },
    ]);
    devtools(driver, "Emulation.setEmulatedMedia", json!({ "features": features })).await
}

/// The width of the page in CSS pixels; `None` is the window's own.
///
/// # Errors
/// The browser refuses.
pub async fn set_width(driver: &WebDriver, width: Option<u32>) -> Result<()> {
    match width {
        Some(width) => {
            let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
            devtools(driver, "Emulation.setDeviceMetricsOverride", metrics).await
        }
        None => devtools(driver, "Emulation.clearDeviceMetricsOverride", json!({})).await,
    }
}

/// Switches the scripts of pages off; the driver's own still run.
///
/// # Errors
/// The browser refuses, or a script runs nevertheless.
pub async fn switch_scripts_off(driver: &WebDriver) -> Result<()> {
    devtools(driver, "Emulation.setScriptExecutionDisabled", json!({ "value": true })).await?;
    let back = driver.current_url().await?;
    driver.goto("data:text/html,<title>off</title><script>document.title = 'on'</script>").await?;
    let title = driver.title().await?;
    ensure!(title == "off", "scripts still run: the title is {title:?}");
    driver.goto(back.as_str()).await?;
    Ok(())
}

/// Lets the scripts of pages loaded from now on run again.
///
/// # Errors
/// The browser refuses.
pub async fn switch_scripts_on(driver: &WebDriver) -> Result<()> {
    devtools(driver, "Emulation.setScriptExecutionDisabled", json!({ "value": false })).await
}

/// The page in a few words, for the message of a failure.
pub async fn describe(driver: &WebDriver) -> String {
    let url = driver.current_url().await.map_or_else(|error| error.to_string(), |url| url.to_string());
    let text = match driver.find(By::Tag("body")).await {
        Ok(body) => body.text().await.unwrap_or_default(),
        Err(error) => error.to_string(),
    };
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(400).collect();
    format!("{url}\n    {text}")
}

/// A command of the Chrome DevTools Protocol, through chromedriver.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    params: Value,
}

impl FormatRequestData for DevTools {
    fn format_request(&self, session: &SessionId) -> RequestData {
        let method = "POST".parse().expect("POST is a method");
        let body = json!({ "cmd": self.command, "params": self.params });
        RequestData::new(method, format!("/session/{session}/goog/cdp/execute")).add_body(body)
    }
}

async fn devtools(driver: &WebDriver, command: &'static str, params: Value) -> Result<()> {
    ask_devtools(driver, command, params).await.map(drop)
}

async fn ask_devtools(driver: &WebDriver, command: &'static str, params: Value) -> Result<Value> {
    let answer = driver.handle().cmd(DevTools { command, params }).await;
    Ok(answer.with_context(|| command.to_owned())?.value_json()?)
}
