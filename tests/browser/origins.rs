//! CORS, by the browser that it is for: it asks before it sends, and keeps answers from pages that may not see them.

use serde_json::json;

use super::*;

/// A page that asks the other host to change something, twice, and then only to be told something.
fn script(api: &str) -> String {
    format!(
        "const ask = async (path, more) => {{\n\
           try {{\n\
             const answer = await fetch('{api}' + path, more);\n\
             return [answer.status, answer.headers.get('x-replica'), await answer.text()];\n\
           }} catch (error) {{ return error.name; }}\n\
         }};\n\
         const change = {{method: 'PUT', headers: {{'Content-Type': 'application/json'}}, body: '{{}}', credentials: 'include'}};\n\
         await report([await ask('/item', change), await ask('/item', change), await ask('/list')]);"
    )
}

/// `api.example` for pages of `shop.example` alone.
fn scene() -> Option<Scene> {
    let scene = Scene::new(&[("api", Behaviour::Named)])?;
    let allowed = scene.url("http", "shop.example", "");
    let annotations = [("enable-cors", "true"), ("cors-allow-origin", &*allowed), ("cors-expose-headers", "X-Replica")];
    let rule = ingress("api-example", "api.example", &[path("Prefix", "/", "api", 80)]);
    scene.gate.write("api.yaml", &annotated(&rule, &annotations));
    scene.gate.write("foreign.yaml", &site("foreign.example", "shop", &[]));
    Some(scene)
}

fn methods(scene: &Scene) -> Vec<String> {
    let heads = scene.more[0].received();
    heads.iter().map(|request| request.head.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_page_that_is_allowed_asks_once_and_sees_all_answers() {
    let Some(scene) = scene() else { return };
    let _browser = scene.open("http", &script(&scene.url("http", "api.example", "")));
    let seen = json!([200, "api-0", "api-0"]);
    assert_eq!(scene.reported(0), json!([seen, seen, seen]));
    assert_eq!(methods(&scene), ["PUT", "PUT", "GET"], "preflights end here");
    let asked: Vec<_> = scene.logged("/item", 3).iter().map(|line| (line["method"].clone(), line["status"].clone())).collect();
    assert_eq!(asked, [("OPTIONS".into(), 204.into()), ("PUT".into(), 200.into()), ("PUT".into(), 200.into())]);
}

#[test]
fn a_foreign_page_changes_nothing_and_sees_nothing() {
    let Some(scene) = scene() else { return };
    scene.shop.now(page("", &script(&scene.url("http", "api.example", ""))));
    let _browser = Browser::open(&scene.url("http", "foreign.example", "/"), None);
    assert_eq!(scene.reported(0), json!(["TypeError", "TypeError", "TypeError"]));
    // A question that any form could send is sent; its answer is kept from the page.
    assert_eq!(methods(&scene), ["GET"]);
}
