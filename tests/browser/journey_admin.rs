//! The admin: finds an app, suspends it, sees the receipt's bar finish without a reload, reinstates it and bans it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::harness::World;
use crate::journey_user::{APPROVE, CONNECT, CONNECTED, REFUSED, arrive};
use crate::page::{self, Control, Hand, PATIENCE};

const NOTICES: Duration = Duration::from_secs(5);
const SEARCH: Control<'static> = Control::Css("form.filters button");
const REASON: Control<'static> = Control::Css("textarea[name=reason]");
/// The purge's part of a receipt once nothing in it moves any more.
const PURGED: Control<'static> = Control::Css("#purge:not([data-live])");

#[tokio::test]
async fn an_admin_suspends_reinstates_and_bans_an_app() -> Result<()> {
    World::walk("admin", async |world| {
        let look = async |name: &str| page::inspect(&world.driver, name).await;
        moderate(world, Hand::Mouse, look).await
    })
    .await
}

#[tokio::test]
async fn the_keyboard_is_enough_to_moderate() -> Result<()> {
    World::walk("admin-keyboard", async |world| moderate(world, Hand::Keyboard, async |_| Ok(())).await).await
}

/// Alice connects the app; then the admin sits down in her place.
async fn connect_and_sign_in(world: &World) -> Result<()> {
    let driver = &world.driver;
    let (alice, max) = (world.person("user")?, world.person("admin")?);
    driver.goto(&world.demo.app).await?;
    page::press(driver, Hand::Mouse, CONNECT).await.context("connecting the app")?;
    arrive(world, "/login").await?;
    page::sign_in(driver, Hand::Mouse, &alice.username, &alice.password).await?;
    page::press(driver, Hand::Mouse, APPROVE).await.context("consenting")?;
    page::find(driver, CONNECTED).await.context("the app after consent")?;
    driver.goto(&format!("{}/logout", world.demo.issuer)).await?;
    page::press(driver, Hand::Mouse, Control::Submit("/logout")).await?;
    arrive(world, "/").await?;
    driver.goto(&format!("{}/login?next=%2Fadmin%2Fapps", world.demo.issuer)).await?;
    page::sign_in(driver, Hand::Mouse, &max.username, &max.password).await?;
    arrive(world, "/admin/apps").await
}

async fn moderate(world: &World, hand: Hand, look: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    let driver = &world.driver;
    connect_and_sign_in(world).await?;
    look("admin-apps").await?;
    page::fill_in(driver, hand, Control::Css("input[name=q]"), "fotowerk").await?;
    page::press(driver, hand, SEARCH).await.context("searching")?;
    let app = the_app(world).await?;
    page::press(driver, hand, Control::Link(&app)).await?;
    arrive(world, &app).await?;
    look("admin-app").await?;

    shut(world, hand, &app, "suspend", &look).await?;
    page::find(driver, PURGED).await.context("the suspension's receipt")?;
    look("admin-receipt").await?;
    driver.goto(&world.demo.app).await?;
    page::find_within(driver, REFUSED, NOTICES).await.context("the app after its suspension")?;

    let reinstate = format!("{app}/reinstate");
    driver.goto(&format!("{}{app}", world.demo.issuer)).await?;
    look("admin-app-suspended").await?;
    page::press(driver, hand, Control::Link(&reinstate)).await?;
    arrive(world, &reinstate).await?;
    look("admin-reinstate").await?;
    page::fill_in(driver, hand, REASON, "Its servers are clean again.").await?;
    page::press(driver, hand, Control::Submit(&reinstate)).await?;
    arrive(world, &app).await?;
    driver.goto(&world.demo.app).await?;
    page::find_within(driver, REFUSED, NOTICES).await.context("its old tokens after its reinstatement")?;

    driver.goto(&format!("{}{app}", world.demo.issuer)).await?;
    shut(world, hand, &app, "ban", &look).await?;
    page::find(driver, PURGED).await.context("the ban's receipt")?;
    driver.goto(&format!("{}{app}", world.demo.issuer)).await?;
    look("admin-app-banned").await?;
    walk_the_rest(world, look).await
}

/// From the app's page through the page of the act to its receipt.
async fn shut(
    world: &World,
    hand: Hand,
    app: &str,
    act: &str,
    look: impl AsyncFn(&str) -> Result<()>,
) -> Result<()> {
    let driver = &world.driver;
    let path = format!("{app}/{act}");
    page::press(driver, hand, Control::Link(&path)).await?;
    arrive(world, &path).await?;
    look(&format!("admin-{act}")).await?;
    page::fill_in(driver, hand, REASON, "Its servers were broken into.").await?;
    page::press(driver, hand, Control::Submit(&path)).await?;
    page::wait("the receipt", PATIENCE, async || {
        Ok(page::path(driver).await?.starts_with("/receipts/").then_some(()))
    })
    .await
}

/// The path of the one app that the search found.
async fn the_app(world: &World) -> Result<String> {
    page::wait("one app in the table", PATIENCE, async || {
        let script = "const links = [...document.querySelectorAll('tbody th a')].map(link => link.pathname);
            return new URLSearchParams(location.search).has('q') && links.length === 1 ? links[0] : null;";
        Ok(world.driver.execute(script, Vec::new()).await?.convert::<Option<String>>()?)
    })
    .await
}

/// The pages that this journey does not act on.
async fn walk_the_rest(world: &World, look: impl AsyncFn(&str) -> Result<()>) -> Result<()> {
    let driver = &world.driver;
    world.command(&["drill", "--rounds", "20"])?;
    for (path, name) in [
        ("/admin/apps?q=nothing", "admin-apps-none"),
        ("/admin/ledger", "admin-ledger"),
        ("/admin/audit", "admin-audit"),
        ("/admin/resource-servers", "admin-resource-servers"),
        ("/admin/resource-servers/new", "admin-resource-server-new"),
        ("/admin/users", "admin-users"),
    ] {
        driver.goto(&format!("{}{path}", world.demo.issuer)).await?;
        look(name).await?;
    }
    let user = "return [...document.querySelectorAll('tbody th a')].find(link => link.text === 'dana').href;";
    let user: String = driver.execute(user, Vec::new()).await?.convert()?;
    for (path, name) in [("", "admin-user"), ("/disable", "admin-disable"), ("/revoke", "admin-user-revoke")]
    {
        driver.goto(&format!("{user}{path}")).await?;
        look(name).await?;
    }
    Ok(())
}
