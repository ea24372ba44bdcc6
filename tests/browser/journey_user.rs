//! The user: lets an app in, sees it on the list, takes it back. Once by mouse, once by keyboard, once without JavaScript.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::harness::World;
use crate::page::{self, Control, Hand, PATIENCE};

pub const CONNECT: Control<'static> = Control::Css("a[href*='/connect'], form[action*='/connect'] button");
pub const APPROVE: Control<'static> = Control::Css("button[name=decision][value=approve]");
pub const CONNECTED: Control<'static> = Control::Css("[data-state='connected']");
pub const REFUSED: Control<'static> = Control::Css("[data-state='refused']");

/// A revoked app has to notice within this time.
const NOTICES: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_user_authorizes_an_app_sees_it_and_revokes_it() -> Result<()> {
    World::walk("user", async |world| {
        let driver = &world.driver;
        let look = async |name: &str| match name {
            "back" => Ok(()), // The app is still busy with the code.
            _ => page::inspect(driver, name).await,
        };
        authorize_see_and_revoke(world, &world.demo.app, Hand::Mouse, look).await
    })
    .await
}

#[tokio::test]
async fn an_app_behind_a_guard_turns_red_as_quickly() -> Result<()> {
    World::walk("guarded", async |world| {
        authorize_see_and_revoke(world, &world.demo.guarded_app, Hand::Mouse, async |name: &str| match name {
            "sample-app" => {
                let calls = page::find(&world.driver, Control::Css("#calls")).await?.text().await?;
                ensure!(calls.contains("GET /guarded/photos"), "its calls: {calls}");
                Ok(())
            }
            _ => Ok(()),
        })
        .await
    })
    .await
}

#[tokio::test]
async fn the_keyboard_is_enough_to_authorize_and_to_revoke() -> Result<()> {
    World::walk("keyboard", async |world| {
        authorize_see_and_revoke(world, &world.demo.app, Hand::Keyboard, async |_| Ok(())).await
    })
    .await
}

#[tokio::test]
async fn javascript_is_not_needed_to_authorize_and_to_revoke() -> Result<()> {
    World::walk("no-javascript", async |world| {
        let driver = &world.driver;
        let look = async |name: &str| match name {
            // The app is somebody else's: it may need scripts, Rescind's pages may not.
            "login" => page::switch_scripts_off(driver).await,
            "back" | "result" => page::switch_scripts_on(driver).await,
            "list" => page::switch_scripts_off(driver).await,
            _ => Ok(()),
        };
        authorize_see_and_revoke(world, &world.demo.app, Hand::Mouse, look).await
    })
    .await
}

/// The journey; `look` is called on every page of Rescind, on coming back to the app, and on its page once connected.
async fn authorize_see_and_revoke(
    world: &World,
    app: &str,
    hand: Hand,
    look: impl AsyncFn(&str) -> Result<()>,
) -> Result<()> {
    let driver = &world.driver;
    let person = world.person("user")?;

    driver.goto(app).await?;
    page::press(driver, hand, CONNECT).await.context("connecting the app")?;
    arrive(world, "/login").await?;
    look("login").await?;
    page::sign_in(driver, hand, &person.username, &person.password).await.context("signing in")?;
    page::find(driver, APPROVE).await.context("the consent page")?;
    look("consent").await?;
    let before = remember_apps(world).await?;
    page::press(driver, hand, APPROVE).await.context("consenting")?;
    back_at(world, app).await?;
    look("back").await?;
    driver.goto(app).await?;
    page::find(driver, CONNECTED).await.context("the app after consent")?;
    look("sample-app").await?;

    driver.goto(&format!("{}/authorizations", world.demo.issuer)).await?;
    look("list").await?;
    let detail = new_app(world, &before).await?;
    let revoke = format!("{detail}/revoke");
    page::press(driver, hand, Control::Link(&detail)).await.context("from the list to the app")?;
    arrive(world, &detail).await?;
    look("detail").await?;
    page::press(driver, hand, Control::Link(&revoke)).await.context("from the app to its revocation")?;
    arrive(world, &revoke).await?;
    look("revoke").await?;
    page::press(driver, hand, Control::Submit(&revoke)).await.context("revoking")?;
    page::wait("the page after revoking", PATIENCE, async || {
        Ok((page::path(driver).await? != revoke).then_some(()))
    })
    .await?;
    page::find(driver, Control::Css("h1")).await?;
    look("result").await?;

    driver.goto(app).await?;
    page::find_within(driver, REFUSED, NOTICES).await.context("the app after revocation")?;
    Ok(())
}

/// Waits for the page at `path` of Rescind.
pub async fn arrive(world: &World, path: &str) -> Result<()> {
    page::wait(&format!("the page {path}"), PATIENCE, async || {
        let url = world.driver.current_url().await?;
        let there = url.as_str().starts_with(&world.demo.issuer) && url.path() == path;
        Ok(there.then_some(()))
    })
    .await?;
    page::find(&world.driver, Control::Css("h1")).await?;
    Ok(())
}

async fn back_at(world: &World, app: &str) -> Result<()> {
    page::wait("the app's page", PATIENCE, async || {
        let url = world.driver.current_url().await?;
        Ok(url.as_str().starts_with(app).then_some(()))
    })
    .await
    .context("after consent (is the app's address in the page's form-action?)")
}

/// The paths of the apps on the list shown.
async fn apps(world: &World) -> Result<Vec<String>> {
    let script = r"
        const paths = [...document.querySelectorAll('a[href]')].map(link => link.pathname);
        return [...new Set(paths.filter(path => /^\/authorizations\/(?!revoke$|client$)[^/]+$/.test(path)))];";
    Ok(world.driver.execute(script, Vec::new()).await?.convert()?)
}

/// Looks at the list from the consent page and comes back to it: consent must survive a detour.
async fn remember_apps(world: &World) -> Result<Vec<String>> {
    let consent = world.driver.current_url().await?;
    world.driver.goto(&format!("{}/authorizations", world.demo.issuer)).await?;
    arrive(world, "/authorizations").await?;
    let before = apps(world).await?;
    world.driver.goto(consent.as_str()).await?;
    page::find(&world.driver, APPROVE).await.context("back on the consent page")?;
    Ok(before)
}

async fn new_app(world: &World, before: &[String]) -> Result<String> {
    arrive(world, "/authorizations").await?;
    let mut new = apps(world).await?;
    new.retain(|path| !before.contains(path));
    ensure!(new.len() == 1, "one new app expected on the list; before {before:?}, new {new:?}");
    Ok(new.remove(0))
}
