//! Tokens: who may ask for what, and what the others are told.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use slotwise::http::{HttpOptions, HttpState, Tokens, paths, router};
use slotwise::store::{EntityOptions, StoreOptions};

use crate::support::{Answer, Api, test_store};

const SECRET: &str = "-token-0123456789";

/// An API with a token for each scope, called `read-token-0123456789` and so on.
async fn guarded() -> (Api, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let token = |scope| {
        format!("[[token]]\nname = \"the-{scope}er\"\ntoken = \"{scope}{SECRET}\"\nscopes = [\"{scope}\"]\n")
    };
    std::fs::write(&path, ["read", "write", "admin"].map(token).concat()).unwrap();
    let tokens = Tokens::load(&path).unwrap();
    let store = test_store(vec![EntityOptions::default()], StoreOptions::default()).await;
    let state = HttpState::guarded(store.clone(), None, HttpOptions::default(), Some(tokens));
    (Api { router: router(state), store }, folder)
}

async fn ask(api: &Api, authorization: &[&str], (method, path, body): (Method, &str, &str)) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for value in authorization {
        request = request.header("authorization", *value);
    }
    api.call(request.body(Body::from(body.to_owned())).unwrap()).await
}

/// Every guarded route: what to send, and who may besides admin.
const GUARDED: [(Method, &str, &str, &str); 6] = [
    (Method::POST, "/v1/features/batch", r#"{"ids":["u1"],"features":["f"]}"#, "read"),
    (Method::GET, "/v1/features/u1?features=f", "", "read"),
    (Method::GET, "/v1/entities/u1", "", "read"),
    (Method::PUT, "/v1/features/u1", r#"{"features":{"f":1}}"#, "write"),
    (Method::POST, "/v1/features/load", "{\"id\":\"u1\",\"features\":{\"f\":1}}", "write"),
    (Method::GET, "/v1/cluster", "", "admin"),
];

#[tokio::test]
async fn each_scope_opens_its_routes_and_admin_all() {
    let (api, _folder) = guarded().await;
    for (method, path, body, needed) in GUARDED {
        for scope in ["read", "write", "admin"] {
            let request = (method.clone(), path, body);
            let answer = ask(&api, &[&format!("Bearer {scope}{SECRET}")], request).await;
            if scope == needed || scope == "admin" {
                assert_eq!(answer.status, 200, "{path} {scope}: {}", answer.text());
                continue;
            }
            let (status, code, message) = answer.error();
            assert_eq!((status, code.as_str()), (403, "scope_missing"), "{path} {scope}");
            assert!(message.contains(&format!("scope {needed}")), "{message}");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.contains(&format!("insufficient_scope\", scope=\"{needed}\"")), "{challenge}");
        }
    }
    api.clean().await;
}

#[tokio::test]
async fn without_a_token_of_this_server_nothing_is_said() {
    let (api, _folder) = guarded().await;
    let good = format!("Bearer read{SECRET}");
    for (method, path, body, _) in GUARDED {
        for (given, challenge) in [
            (&[][..], "Bearer realm=\"slotwise\""),
            (&["Basic cmVhZDpyZWFk"], "Bearer realm=\"slotwise\""),
            (&["Bearer"], "Bearer realm=\"slotwise\""),
            (&["Bearer "], "Bearer realm=\"slotwise\", error=\"invalid_token\""),
            (&["Bearer s3cret-s3cret-s3cret"], "Bearer realm=\"slotwise\", error=\"invalid_token\""),
            (&[&good, &good], "Bearer realm=\"slotwise\""),
        ] {
            let answer = ask(&api, given, (method.clone(), path, body)).await;
            assert_eq!((answer.error().0, answer.error().1.as_str()), (401, "unauthorized"), "{path}");
            assert_eq!(answer.header("www-authenticate"), challenge, "{path} {given:?}");
            assert!(!answer.text().contains("s3cret"), "{}", answer.text());
        }
    }
    assert_eq!(api.store.count_entities().await.unwrap(), 0);
    // The scheme's name has no case.
    let lower = ask(&api, &[&good.replace("Bearer", "bEARER")], (Method::GET, GUARDED[1].1, "")).await;
    assert_eq!(lower.status, 200);
}

#[tokio::test]
async fn what_watches_the_server_needs_no_token() {
    let (api, _folder) = guarded().await;
    for (path, status) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 404), ("/openapi.json", 200), ("/", 200)]
    {
        assert_eq!(api.get(path).await.status, status, "{path}");
    }
    // Whatever is added is guarded, or stands above.
    let guarded: Vec<&str> = GUARDED.iter().map(|(_, path, _, _)| path.split('?').next().unwrap()).collect();
    for path in paths().filter(|path| path.starts_with("/v1/")) {
        assert!(guarded.contains(&path.replace("{id}", "u1").as_str()), "{path}");
    }
}

#[tokio::test]
async fn the_description_says_which_scope_a_route_needs() {
    let (api, _folder) = guarded().await;
    let document: Value = api.get("/openapi.json").await.json();
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    for (method, path, _, needed) in GUARDED {
        let path = path.split('?').next().unwrap().replace("u1", "{id}");
        let operation = &document["paths"][&path][method.as_str().to_lowercase()];
        assert_eq!(operation["security"], json!([{"bearer": [needed]}]), "{method} {path}");
        for status in ["401", "403"] {
            assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_can_not_write() {
    let api = Api::new().await;
    for (method, path, body, needed) in GUARDED {
        let request = |headers: &[(&'static str, &'static str)]| {
            let mut request =
                Request::builder().method(method.clone()).uri(path).header("host", "127.0.0.1:1");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            api.call(request.body(Body::from(body)).unwrap())
        };
        let forged = request(&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]).await;
        if method == Method::GET {
            assert_eq!(forged.status, 200, "a browser shows the answer to nobody");
            continue;
        }
        let (status, code, _) = forged.error();
        assert_eq!((status, code.as_str()), (403, "cross_site"), "{path} {needed}");
        let own = request(&[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:1")]).await;
        assert_eq!(own.status, 200, "{path}");
    }
    api.clean().await;
}
