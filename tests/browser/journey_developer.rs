//! The developer: registers an app, rotates its secret, revokes all user tokens, deletes it by typing its name.

use anyhow::{Context, Result, ensure};
use thirtyfour::WebDriver;

use crate::harness::World;
use crate::page::{self, Control, Hand, PATIENCE};

const MAIN_BUTTON: Control<'static> = Control::Css("main form[method=post] button");
const SECRET: Control<'static> = Control::Css("code.secret");

#[tokio::test]
async fn a_developer_registers_an_app_rotates_revokes_and_deletes() -> Result<()> {
    World::walk("developer", async |world| {
        let driver = &world.driver;
        journey(world, Hand::Mouse, async |name: &str| page::inspect(driver, name).await).await
    })
    .await
}

#[tokio::test]
async fn javascript_is_not_needed_to_look_after_an_app() -> Result<()> {
    World::walk("developer-no-javascript", async |world| {
        page::switch_scripts_off(&world.driver).await?;
        journey(world, Hand::Mouse, async |_| Ok(())).await
    })
    .await
}

/// The journey; `look` is called on every page.
async fn journey(world: &World, hand: Hand, look: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    let driver = &world.driver;
    let person = world.person("developer")?;
    let open = async |path: &str| -> Result<()> {
        driver.goto(&format!("{}{path}", world.demo.issuer)).await?;
        page::find(driver, Control::Css("h1")).await?;
        Ok(())
    };

    open("/login?next=/apps").await?;
    page::sign_in(driver, hand, &person.username, &person.password).await.context("signing in")?;
    arrive(driver, "/apps").await?;
    look("apps").await?;

    page::press(driver, hand, Control::Link("/apps/new")).await?;
    arrive(driver, "/apps/new").await?;
    look("app-new").await?;
    page::fill_in(driver, hand, Control::Css("#name"), "  \u{200b} ").await?;
    page::fill_in(driver, hand, Control::Css("#redirect_uri"), "http://album.example/cb").await?;
    page::press(driver, hand, Control::Submit("/apps/new")).await?;
    page::find(driver, Control::Css("#redirect_uri-error")).await.context("the refused form")?;
    look("app-new-refused").await?;
    retype(driver, hand, "#name", "Album").await?;
    retype(driver, hand, "#redirect_uri", "https://album.example/cb").await?;
    page::press(driver, hand, Control::Submit("/apps/new")).await?;
    let first = page::find(driver, SECRET).await.context("the secret")?.text().await?;
    look("app-secret").await?;
    page::press(driver, hand, Control::Css("main a.button")).await?;
    let app = new_app(driver).await?;
    look("app").await?;

    page::press(driver, hand, Control::Link(&format!("{app}/edit"))).await?;
    arrive(driver, &format!("{app}/edit")).await?;
    look("app-edit").await?;
    page::press(driver, hand, Control::Submit(&app)).await?;
    arrive(driver, &app).await?;

    page::press(driver, hand, Control::Link(&format!("{app}/rotate-secret"))).await?;
    arrive(driver, &format!("{app}/rotate-secret")).await?;
    look("app-rotate").await?;
    page::press(driver, hand, MAIN_BUTTON).await?;
    let second = page::find(driver, SECRET).await.context("the new secret")?.text().await?;
    ensure!(first != second, "the secret is still the same");
    look("app-rotated").await?;
    open(&app).await?;
    look("app-two-secrets").await?;

    page::press(driver, hand, Control::Link(&format!("{app}/revoke-tokens"))).await?;
    arrive(driver, &format!("{app}/revoke-tokens")).await?;
    look("app-revoke-tokens").await?;
    page::press(driver, hand, MAIN_BUTTON).await?;
    receipt(driver).await.context("after revoking all user tokens")?;
    look("app-tokens-revoked").await?;
    open(&app).await?;
    let history = page::find(driver, Control::Css("ol.history")).await?.text().await?;
    ensure!(history.contains("All user tokens"), "the history says {history:?}");

    page::press(driver, hand, Control::Link(&format!("{app}/delete"))).await?;
    arrive(driver, &format!("{app}/delete")).await?;
    look("app-delete").await?;
    page::fill_in(driver, hand, Control::Css("#name"), "album").await?;
    page::press(driver, hand, MAIN_BUTTON).await?;
    page::find(driver, Control::Css("#name-error")).await.context("another name deletes nothing")?;
    look("app-delete-refused").await?;
    retype(driver, hand, "#name", "Album").await?;
    page::press(driver, hand, MAIN_BUTTON).await?;
    receipt(driver).await.context("after deleting")?;
    look("app-deleted").await?;
    open("/apps").await?;
    let list = page::find(driver, Control::Css("main")).await?.text().await?;
    ensure!(!list.contains("Album"), "the list still has the app: {list:?}");
    Ok(())
}

async fn arrive(driver: &WebDriver, path: &str) -> Result<()> {
    page::wait(&format!("the page {path}"), PATIENCE, async || {
        Ok((page::path(driver).await? == path).then_some(()))
    })
    .await?;
    page::find(driver, Control::Css("h1")).await?;
    Ok(())
}

/// The path of the app whose page has just been opened.
async fn new_app(driver: &WebDriver) -> Result<String> {
    let path = page::wait("the app's page", PATIENCE, async || {
        let path = page::path(driver).await?;
        Ok(path.starts_with("/apps/cli_").then_some(path))
    })
    .await?;
    page::find(driver, Control::Css("ol.history")).await?;
    Ok(path)
}

async fn receipt(driver: &WebDriver) -> Result<()> {
    page::wait("a receipt", PATIENCE, async || {
        Ok(page::path(driver).await?.starts_with("/receipts/rcp_").then_some(()))
    })
    .await?;
    page::find(driver, Control::Css("h1")).await?;
    Ok(())
}

async fn retype(driver: &WebDriver, hand: Hand, field: &'static str, text: &str) -> Result<()> {
    page::find(driver, Control::Css(field)).await?.clear().await?;
    page::fill_in(driver, hand, Control::Css(field), text).await
}
