//! Names of apps: what may stand in them, whose they look like, and how they are typed and searched for.

use rescind::model::user::Role;

use crate::developer::{Desk, desk, developer, registration};
use crate::harness::fields::Fields;

fn named(name: &str) -> Fields {
    registration().with("name", name)
}

#[tokio::test]
async fn names_with_invisible_characters_or_towers_of_marks_are_refused() {
    let Desk { world, dana, app, .. } = desk().await;
    let before = world.contents();
    for path in ["/apps/new".to_owned(), format!("/apps/{}", app.id)] {
        for name in
            ["Foto\u{1d173}", "\u{1d17a}Foto", "Fo\u{1bca0}to", "\u{2800}", "\u{301}", &"\u{301}".repeat(70)]
        {
            dana.posts(&path, &named(name)).await.page(422).shows("id=\"name-error\"");
            let form = registration().with("publisher", name);
            dana.posts(&path, &form).await.page(422).shows("id=\"publisher-error\"");
        }
    }
    assert_eq!(world.contents(), before);
}

#[tokio::test]
async fn names_of_every_script_are_registered_in_normal_form_c_and_with_single_spaces() {
    let Desk { world, dana, .. } = desk().await;
    for (typed, stored) in [
        ("Gro\u{308}ße  Fotos", "Größe Fotos"),
        ("写真", "写真"),
        ("Фото", "Фото"),
        ("עברית", "עברית"),
        ("👩‍👩‍👧 Family", "👩‍👩‍👧 Family"),
    ] {
        dana.posts("/apps/new", &named(typed)).await.is(303);
        let known: i64 = world.value(&format!("SELECT count(*) FROM clients WHERE name = '{stored}'"));
        assert_eq!(known, 1, "{stored}");
    }
}

#[tokio::test]
async fn a_name_that_looks_like_another_developers_is_refused() {
    let Desk { world, dana, .. } = desk().await;
    dana.posts("/apps/new", &named("Paypal")).await.is(303);
    let eve = developer(&world, "eve").await;
    let before = world.contents();
    for name in ["Раураl", "раураl", "PaypaI", "Paypa1", "Ｐaypa1"] {
        eve.posts("/apps/new", &named(name)).await.page(422).shows("id=\"name-error\"").shows("looks like");
    }
    assert_eq!(world.contents(), before);
    // Nobody owns a word; and one's own apps may be alike.
    eve.posts("/apps/new", &named("PAYPAL")).await.is(303);
    eve.posts("/apps/new", &named("Mail")).await.is(303);
    dana.posts("/apps/new", &named("Mall")).await.is(303);
    eve.posts("/apps/new", &named("MaiI")).await.is(303);
    dana.posts("/apps/new", &named("Mai1")).await.page(422);
}

#[tokio::test]
async fn an_edit_is_checked_for_look_alikes_only_if_it_changes_the_name() {
    let Desk { world, dana, app, .. } = desk().await;
    let eve = developer(&world, "eve").await;
    eve.posts("/apps/new", &named("Paypal")).await.is(303);
    let path = format!("/apps/{}", app.id);
    dana.posts(&path, &named("Раураl")).await.page(422).shows("id=\"name-error\"");
    world.forces(&format!("UPDATE clients SET name = 'Раураl' WHERE id = '{}'", app.id));
    dana.posts(&path, &named("Раураl").with("publisher", "Dana")).await.is(303);
    // A name is free again once its app is gone.
    world.forces("UPDATE clients SET status = 'deleted' WHERE name = 'Paypal'");
    dana.posts(&path, &named("Paypa1")).await.is(303);
}

#[tokio::test]
async fn a_typed_confirmation_matches_in_any_normal_form_and_with_any_spaces() {
    let Desk { world, dana, app, .. } = desk().await;
    let delete = format!("/apps/{}/delete", app.id);
    for (stored, typed) in [
        ("Gro\u{308}ße", "Größe"),
        ("Größe", "Gro\u{308}ße"),
        ("Foto  werk", "Foto werk"),
        ("Foto\u{1d173}werk", "Fotowerk"),
    ] {
        world.forces(&format!(
            "UPDATE clients SET name = '{stored}', status = 'active' WHERE id = '{}'",
            app.id
        ));
        dana.posts(&delete, &Fields::new(&[("name", "größe foto")])).await.page(422);
        dana.posts(&delete, &Fields::new(&[("name", typed)])).await.is(303);
        assert_eq!(
            world.value::<String>(&format!("SELECT status FROM clients WHERE id = '{}'", app.id)),
            "deleted"
        );
    }
}

#[tokio::test]
async fn an_app_whose_name_shows_nothing_is_deleted_by_its_id_and_not_by_an_empty_field() {
    let Desk { world, dana, app, .. } = desk().await;
    world.forces(&format!("UPDATE clients SET name = '\u{1d173}' WHERE id = '{}'", app.id));
    let delete = format!("/apps/{}/delete", app.id);
    dana.posts(&delete, &Fields::default()).await.page(422);
    dana.posts(&delete, &Fields::new(&[("name", &app.id)])).await.is(303);
}

#[tokio::test]
async fn searches_ignore_case_in_every_script_and_know_no_wildcards() {
    let Desk { world, dana, .. } = desk().await;
    for name in ["Фотоальбом", "Größenwahn", "100 % _a_"] {
        dana.posts("/apps/new", &named(name)).await.is(303);
        let id: String = world.value(&format!("SELECT id FROM clients WHERE name = '{name}'"));
        world
            .ends_all_tokens_of(&crate::harness::client::Client::new(world.clone(), &id, None, String::new()))
            .await;
    }
    let max = world.with_role("max", Role::Admin).await;
    let search = |page: &str, text: &str| format!("{page}?{}", Fields::new(&[("q", text)]).encode());
    for page in ["/admin/apps", "/admin/ledger"] {
        for text in ["фото", "ФОТОАЛЬБОМ", "фOTO"] {
            let is_cyrillic = text != "фOTO";
            let found = max.gets(&search(page, text)).await.page(200).hides("Größenwahn");
            assert_eq!(found.body.contains("Фотоальбом"), is_cyrillic, "{page} {text}");
        }
        for text in ["GRÖSSEN", "gro\u{308}ßen"] {
            max.gets(&search(page, text)).await.page(200).shows("Größenwahn").hides("Фотоальбом");
        }
        max.gets(&search(page, "%")).await.page(200).shows("100 % _a_").hides("Größenwahn");
        max.gets(&search(page, "_a_")).await.page(200).shows("100 % _a_").hides("Größenwahn");
        max.gets(&search(page, "\u{200b}")).await.page(200).hides("Größenwahn");
    }
}
