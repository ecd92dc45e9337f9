//! Archives over the wire, in pieces: neither side holds one in memory.

use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use tempfile::NamedTempFile;

use crate::app::App;
use crate::http::{ApiError, ApiResult, blocking};

/// Bytes that are read or written at once.
const PIECE_BYTES: usize = 256 << 10;

/// Sends a file as it is read.
pub(super) async fn download(path: PathBuf, name: &str) -> ApiResult<Response> {
    let (file, bytes) = blocking(move || {
        let file = File::open(&path)
            .map_err(|error| ApiError::not_found(format!("{}: {error}", path.display())))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        Ok((file, bytes))
    })
    .await?;
    let (mut sender, body) = Channel::<Bytes, std::io::Error>::new(2);
    tokio::spawn(async move {
        let mut file = file;
        loop {
            let piece = tokio::task::spawn_blocking(move || read_piece(file)).await;
            match piece {
                Ok(Ok((next, piece))) if !piece.is_empty() => {
                    file = next;
                    // An error means that the client has gone.
                    if sender.send_data(piece).await.is_err() {
                        return;
                    }
                }
                Ok(Ok(_)) => return,
                Ok(Err(error)) => return sender.abort(error),
                Err(error) => return sender.abort(std::io::Error::other(error)),
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, Body::new(body)).into_response())
}

fn read_piece(mut file: File) -> std::io::Result<(File, Bytes)> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    (&mut file)
        .take(PIECE_BYTES as u64)
        .read_to_end(&mut piece)?;
    Ok((file, piece.into()))
}

/// Stores the body, or the file `snapshot` of a form, in a file that goes when the answer is given.
///
/// # Errors
///
/// 400 without a file, 408 if nothing comes for longer than a body may take, 507 on a full disk.
pub(super) async fn receive(app: &App, mut request: Request) -> ApiResult<NamedTempFile> {
    let mut upload = Upload::new(app).await?;
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_form = content_type
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("multipart/"));
    if !is_form {
        let mut body = request.into_body();
        while let Some(frame) = upload.in_time(body.frame()).await? {
            let frame = frame
                .map_err(|error| ApiError::bad_request(format!("the upload broke off: {error}")))?;
            if let Ok(piece) = frame.into_data() {
                upload.push(piece).await?;
            }
        }
        return upload.finish().await;
    }
    DefaultBodyLimit::disable().apply(&mut request);
    let form = Multipart::from_request(request, &()).await;
    let mut form =
        form.map_err(|error| ApiError::bad_request(error.body_text()).at("multipart"))?;
    let broken = |error: MultipartError| ApiError::bad_request(error.body_text()).at("multipart");
    while let Some(field) = upload.in_time(form.next_field()).await?.map_err(broken)? {
        let mut field: Field<'_> = field;
        if field.name() != Some("snapshot") {
            continue;
        }
        while let Some(piece) = upload.in_time(field.chunk()).await?.map_err(broken)? {
            upload.push(piece).await?;
        }
        return upload.finish().await;
    }
    Err(ApiError::bad_request(
        "the form has no file `snapshot`: send the archive under that name, or as the body itself",
    ))
}

/// A file that is being received.
struct Upload {
    app: App,
    /// `None` while another thread writes it.
    file: Option<NamedTempFile>,
    waiting: Vec<u8>,
}

impl Upload {
    async fn new(app: &App) -> ApiResult<Self> {
        let node = app.node()?;
        let file = blocking(move || {
            let folder = node.uploads_folder()?;
            NamedTempFile::new_in(&folder).map_err(|error| not_stored(&error))
        });
        Ok(Self {
            app: app.clone(),
            file: Some(file.await?),
            waiting: Vec::new(),
        })
    }

    /// Waits for the next piece, but not for ever.
    async fn in_time<T>(&self, next: impl Future<Output = T>) -> ApiResult<T> {
        let time_max = self.app.options.limits.body_time_max;
        tokio::time::timeout(time_max, next).await.map_err(|_| {
            ApiError::new(
                axum::http::StatusCode::REQUEST_TIMEOUT,
                format!(
                    "nothing came for {} s: the upload was given up",
                    time_max.as_secs()
                ),
            )
        })
    }

    async fn push(&mut self, piece: Bytes) -> ApiResult<()> {
        self.waiting.extend_from_slice(&piece);
        match self.waiting.len() < PIECE_BYTES {
            true => Ok(()),
            false => self.write().await,
        }
    }

    async fn write(&mut self) -> ApiResult<()> {
        let Some(mut file) = self.file.take() else {
            return Err(ApiError::bad_request("the upload has failed already"));
        };
        let node = self.app.node()?;
        let bytes = std::mem::take(&mut self.waiting);
        let file = blocking(move || {
            node.ensure_space(bytes.len() as u64)?;
            file.write_all(&bytes).map_err(|error| not_stored(&error))?;
            Ok(file)
        });
        self.file = Some(file.await?);
        Ok(())
    }

    async fn finish(mut self) -> ApiResult<NamedTempFile> {
        self.write().await?;
        self.file
            .ok_or_else(|| ApiError::bad_request("the upload has failed already"))
    }
}

fn not_stored(error: &std::io::Error) -> ApiError {
    let status = match error.kind() {
        std::io::ErrorKind::StorageFull => axum::http::StatusCode::INSUFFICIENT_STORAGE,
        _ => axum::http::StatusCode::INTERNAL_SERVER_ERROR,
    };
    ApiError::new(status, format!("store the upload: {error}"))
}
