//! `GET /v1/status`, `POST /v1/reload`.

use arcus_api::v1::{Reloaded, Status};
use axum::extract::State;
use daemon::http::{ApiError, Json};

use super::Api;
use crate::control::Command;

pub(super) async fn status(State(api): State<Api>) -> Result<Json<Status>, ApiError> {
    api.command(Command::Status).await.map(Json)
}

pub(super) async fn reload(State(api): State<Api>) -> Result<Json<Reloaded>, ApiError> {
    api.command(Command::Reload).await?.map(Json).map_err(ApiError::refused)
}
