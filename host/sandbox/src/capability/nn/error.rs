//! `wasi:nn/errors`: a refusal as a resource, with the text that it was refused with.
//!
//! A guest may hold many of them and has a part in their words, so that none is longer than a refusal may be.

use edgewit_domain::model::{ErrorKind, InferenceError};
use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource};

use super::Store;
use crate::bindings::wasi::nn::errors::ErrorCode;
use crate::guest::Guest;
use crate::instance::notes;

pub(super) struct Refusal(InferenceError);

impl Refusal {
    pub fn new(error: InferenceError) -> Self {
        Refusal(InferenceError { text: notes::cut(error.text), ..error })
    }

    pub fn text(&self) -> &str {
        &self.0.text
    }

    fn code(&self) -> ErrorCode {
        match self.0.kind {
            ErrorKind::Argument => ErrorCode::InvalidArgument,
            ErrorKind::Encoding => ErrorCode::InvalidEncoding,
            ErrorKind::Timeout => ErrorCode::Timeout,
            ErrorKind::Busy | ErrorKind::Runtime => ErrorCode::RuntimeError,
            ErrorKind::TooLarge => ErrorCode::TooLarge,
            ErrorKind::NotFound => ErrorCode::NotFound,
            ErrorKind::Denied => ErrorCode::Security,
            ErrorKind::Unsupported => ErrorCode::UnsupportedOperation,
        }
    }
}

pub(super) fn add_to_linker(errors: &mut LinkerInstance<'_, Guest>) -> Result<()> {
    super::resource::<Refusal>(errors, "error")?;
    errors.func_wrap("[method]error.code", |store: Store<'_>, (error,): (Resource<Refusal>,)| {
        Ok((store.data().table.get(&error)?.code(),))
    })?;
    errors.func_wrap("[method]error.data", |store: Store<'_>, (error,): (Resource<Refusal>,)| {
        Ok((store.data().table.get(&error)?.text().to_owned(),))
    })
}
