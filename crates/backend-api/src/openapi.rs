//! The OpenAPI 3.1 document.

use crate::problem;
use crate::routes::{Access, Answer, Method, ROUTES, Route, SIMULATION, WORK};
use crate::work::{DEFAULT_UNITS, MAX_UNITS};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{Content, ContentBuilder, OpenApi, Paths, Ref, RefOr, Required, ResponseBuilder, Schema};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Marea backend", description = "The live view of an autoscaling platform."),
    components(schemas(
        crate::cluster::Overview,
        crate::cluster::Cluster,
        crate::cluster::Gap,
        crate::cluster::Pool,
        crate::cluster::Node,
        crate::cluster::Pod,
        crate::cluster::Event,
        crate::database::Database,
        crate::hpa::Hpa,
        crate::problem::Problem,
        crate::simulations::NewSimulation,
        crate::simulations::Simulation,
        crate::simulations::SimulationDetail,
        crate::stacks::StackRecord,
        crate::stacks::Preview,
        crate::stream::Snapshot,
        crate::stream::Changes,
        crate::work::Work,
    ))
)]
struct Components;

/// The document that the backend serves and that `openapi.json` beside this crate's manifest holds.
pub fn document() -> OpenApi {
    let mut document = Components::openapi();
    document.paths = ROUTES.iter().fold(Paths::new(), |mut paths, route| {
        let method = match route.method {
            Method::Get => HttpMethod::Get,
            Method::Post => HttpMethod::Post,
            Method::Delete => HttpMethod::Delete,
        };
        let item = PathItem::new(method, operation(route));
        match paths.paths.get_mut(route.path) {
            Some(known) => known.merge_operations(item),
            None => drop(paths.paths.insert(route.path.to_owned(), item)),
        }
        paths
    });
    document
}

fn operation(route: &Route) -> OperationBuilder {
    let mut operation =
        OperationBuilder::new().operation_id(Some(route.operation)).summary(Some(route.summary)).response(
            "200",
            ResponseBuilder::new().description("Done").content(media_type(route.answer), content(route.answer)),
        );
    if route.path == SIMULATION {
        operation = operation.parameter(id()).response("404", problem_response("There is no such simulation"));
    }
    if route.method == Method::Post {
        let schema: RefOr<Schema> = Ref::from_schema_name("NewSimulation").into();
        let body = RequestBodyBuilder::new()
            .content("application/json", ContentBuilder::new().schema(Some(schema)).build())
            .required(Some(Required::True));
        operation = operation
            .request_body(Some(body.build()))
            .response("400", problem_response("The simulation makes no sense; the detail names the field"))
            .response("429", problem_response("Too many simulations wait"));
    }
    if route.access == Access::Change {
        operation = operation.response("401", problem_response("A token is configured and was not sent"));
    }
    if route.path == WORK {
        operation = operation.parameter(units()).response("400", problem_response("The query is not valid"));
    }
    if route.needs_others {
        operation = operation
            .response("503", problem_response("Something it needs is away; try again after `Retry-After` seconds"));
    }
    operation
}

fn media_type(answer: Answer) -> &'static str {
    match answer {
        Answer::Text => "text/plain",
        Answer::Stream(_) => "text/event-stream",
        Answer::Document | Answer::One(_) | Answer::Many(_) => "application/json",
    }
}

fn content(answer: Answer) -> Content {
    let schema: RefOr<Schema> = match answer {
        Answer::Text => ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).into(),
        Answer::Document => ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)).into(),
        Answer::One(name) => Ref::from_schema_name(name).into(),
        Answer::Many(name) => ArrayBuilder::new().items(Ref::from_schema_name(name)).into(),
        Answer::Stream(names) => {
            names.iter().fold(OneOfBuilder::new(), |any, name| any.item(Ref::from_schema_name(*name))).into()
        }
    };
    ContentBuilder::new().schema(Some(schema)).build()
}

fn problem_response(description: &str) -> ResponseBuilder {
    let schema: RefOr<Schema> = Ref::from_schema_name("Problem").into();
    ResponseBuilder::new()
        .description(description)
        .content(problem::CONTENT_TYPE, ContentBuilder::new().schema(Some(schema)).build())
}

fn id() -> Parameter {
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))))
        .build()
}

fn units() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .minimum(Some(0))
        .maximum(Some(MAX_UNITS))
        .default(Some(DEFAULT_UNITS.into()));
    ParameterBuilder::new()
        .name("units")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("Units of CPU work, each about a tenth of a millisecond of a core"))
        .schema(Some(schema))
        .build()
}
