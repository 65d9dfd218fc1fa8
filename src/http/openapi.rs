//! `GET /openapi.json`: the description of every route and every answer, put together from the handlers.

use std::collections::BTreeMap;

use axum::Json;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::wire::ErrorAnswer;
use super::{batch, cluster, entities, features, health, load, status_page};

#[derive(OpenApi)]
#[openapi(
    info(title = "slotwise", description = "Machine-learning features out of Redis Cluster."),
    paths(
        batch::read,
        features::read,
        features::write,
        load::load,
        entities::inspect,
        cluster::show,
        health::healthz,
        health::readyz,
        health::metrics,
        openapi,
        status_page::show,
    ),
    components(schemas(ErrorAnswer)),
    modifiers(&Bearer)
)]
struct Document;

/// The token that guarded routes take, each with a scope.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some(
            "A token of the server's tokens file. Scopes: read, write, admin (which allows everything). Not needed \
             where the server was started without tokens."
                .to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The description of the API.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "An OpenAPI document.", body = Object), PlainErrors),
)]
pub(super) async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

/// Groups of errors that routes share, for the description.
macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident: $($status:literal)+;)+) => {
        $($(#[doc = $doc])+
        pub(super) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                [$($status),+].into_iter().map(error).collect()
            }
        })+
    };
}

errors! {
    /// Of a batch read.
    BatchErrors: 400 401 403 406 408 413 500 503 504;
    /// Of a read of one entity.
    ReadErrors: 400 401 403 500 502 503 504;
    /// Of a streaming write.
    WriteErrors: 400 401 403 408 413 500 502 503 504;
    /// Of a bulk load.
    LoadErrors: 400 401 403 408 413 500 503 504;
    /// Of what is shown of the cluster.
    AdminErrors: 400 401 403 500 503 504;
    /// Of a route that asks no shard.
    PlainErrors: 400 500 503;
    /// Of a metrics page.
    MetricsErrors: 404 500;
    /// Of a route that can't be asked wrongly.
    ServerErrors: 500;
}

fn error(status: u16) -> (String, RefOr<Response>) {
    let description = match status {
        400 => "The request can't be served as it is; the message names the place and the limit.",
        401 => "A token is needed, or the one given is not one of this server's.",
        403 => {
            "The token does not have the scope that the route needs, or a page of another site sent the request."
        }
        404 => "The server was started without metrics.",
        406 => "None of the formats in Accept can be answered.",
        408 => "The body stopped coming.",
        413 => "The body is too large.",
        502 => "A shard answered with an error.",
        503 => "A shard can't answer, the outcome of a write is unknown, or too many requests are in flight.",
        504 => "The deadline passed.",
        _ => "A fault of the server.",
    };
    let schema = RefOr::Ref(Ref::from_schema_name("ErrorAnswer"));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new().description(description).content("application/json", content);
    (status.to_string(), response.build().into())
}
